package client

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/troupe-actors/troupe/events/protocol"
)

// stream is a link of server-sent events, and POSTs beside them.
type stream struct {
	posts
	body io.ReadCloser
	in   *bufio.Reader // owned by the goroutine that reads
}

func (o *opener) openStream(ctx context.Context, cancel context.CancelCauseFunc) (link, inbound, error) {
	s := &stream{posts: o.posts(ctx, cancel, protocol.DownSSE)}
	resp, err := o.c.post(ctx, s.posts.body(s.hello))
	if err != nil {
		return nil, inbound{}, err
	}
	s.body, s.in = resp.Body, bufio.NewReader(resp.Body)
	first, err := s.message()
	return s, first, err
}

func (s *stream) read() (incoming, error) {
	m, err := s.message()
	if err != nil {
		return incoming{}, err
	}
	return incoming{messages: []inbound{m}}, nil
}

// message reads an event, and comments on the way.
func (s *stream) message() (inbound, error) {
	var data []byte
	for {
		line, err := s.line()
		switch {
		case err != nil:
			return inbound{}, err
		case len(line) == 0 && data != nil:
			return lineOf(data)
		}
		if value, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, bytes.TrimPrefix(value, []byte(" "))...)
		}
	}
}

// line reads to the next line's end. It belongs to the caller.
func (s *stream) line() ([]byte, error) {
	var line []byte
	for {
		part, err := s.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), nil
		case err != bufio.ErrBufferFull:
			return nil, err
		case len(line) > mostPoll:
			return nil, fmt.Errorf("%w: a line of more than %d bytes", errProtocol, mostPoll)
		}
	}
}

func (s *stream) close(code uint16) {
	s.posts.close(code)
	if s.body != nil {
		s.body.Close()
	}
}
