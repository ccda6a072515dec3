package events

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/transport"
)

// body is what a client POSTs: a hello, and messages behind it.
type body struct {
	*bufio.Reader
}

// slowest is how many bytes of a body have to come in a second, behind the first
// WriteTimeout.
const slowest = 1 << 10

// steady is a body that has to keep coming. The deadline is lifted with its last byte:
// from then on net/http waits for the client's end by reading. Until then it holds also
// when the handler has returned, and net/http reads what is left.
type steady struct {
	body io.Reader
	conn *http.ResponseController
	end  time.Time
	most time.Duration // that it may pause
}

func (b *steady) Read(p []byte) (int, error) {
	_ = b.conn.SetReadDeadline(b.end) // where that cannot be, the server's own has to do
	n, err := b.body.Read(p)
	b.end = b.end.Add(time.Duration(n) * time.Second / slowest)
	if most := time.Now().Add(b.most); b.end.After(most) { // what came fast buys no pause
		b.end = most
	}
	if err == io.EOF {
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (srv *Server) bodyOf(w http.ResponseWriter, r *http.Request) *body {
	o := &srv.opts
	from := &steady{r.Body, http.NewResponseController(w), time.Now().Add(o.WriteTimeout), o.WriteTimeout}
	return &body{bufio.NewReaderSize(from, o.MaxHelloBytes+len("h \r\n"))}
}

// hello reads the first line.
func (b *body) hello() (*protocol.ClientHello, error) {
	first, err := b.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errHelloSize
	case err != nil && !errors.Is(err, io.EOF):
		return nil, errBroken
	}
	m, err := protocol.Parse(bytes.TrimRight(first, "\r\n"))
	if err != nil || m.Kind != protocol.Hello {
		return nil, fmt.Errorf("%w: the body begins with h and a hello", protocol.ErrHello)
	}
	h, err := protocol.ParseClientHello(m.Data)
	if err != nil {
		return nil, err
	}
	if h.Codec == "" {
		h.Codec = protocol.JSON
	}
	return h, nil
}

// letter is what a POST says behind its hello. The memory of its lines is charged.
type letter struct {
	said   []posted // with numbers
	ack    uint64
	pinged bool
	ponged bool
	gone   bool
	token  *string
	text   []byte // all of it

	rt      *actors.Runtime
	charged int
}

// free lets go of the memory: the letter is of no use any more.
func (l *letter) free() {
	l.rt.Reserve(-l.charged)
	l.charged, l.said, l.text = 0, nil, nil
}

// forget drops what was said.
func (l *letter) forget() {
	l.said, l.ack, l.pinged, l.ponged, l.gone, l.token = nil, 0, false, false, false, nil
}

// read reads the rest of a body, of which all is well, or nothing counts. The letter is
// to be freed in any case.
func (srv *Server) read(b *body) (*letter, error) {
	l := &letter{rt: srv.rt}
	if b == nil {
		return l, nil
	}
	text, err := srv.readRest(b, l)
	if err != nil {
		return l, err
	}
	l.text = text
	for line := range bytes.SplitSeq(text, newline) {
		if line = bytes.TrimSuffix(line, []byte{'\r'}); len(line) == 0 {
			continue
		}
		if err := srv.sort(l, line); err != nil {
			return l, err
		}
	}
	return l, nil
}

// readRest reads what is behind the hello, and charges it as it comes.
func (srv *Server) readRest(b *body, l *letter) ([]byte, error) {
	const piece = 4 << 10
	o := &srv.opts
	most := 2 * max(o.Channel.MaxMessageBytes, o.WindowBytes) // base64 is a third longer
	var text []byte
	for {
		if _, err := b.Peek(1); err == io.EOF {
			return text, nil
		} else if err != nil {
			return nil, errBroken
		}
		if len(text) >= most {
			return nil, errLarge
		}
		if len(text) == cap(text) {
			more := max(piece, cap(text))
			if !srv.rt.Reserve(more) {
				return nil, errBusy
			}
			l.charged += more
			text = append(make([]byte, 0, cap(text)+more), text...)
		}
		n, err := b.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if err != nil && err != io.EOF {
			return nil, errBroken
		}
	}
}

// sort puts a line where it belongs.
func (srv *Server) sort(l *letter, line []byte) error {
	p := posted{op: transport.Text, data: line}
	switch {
	case line[0] == '~':
		p.op = transport.Binary
		var err error
		if p.data, err = base64.StdEncoding.AppendDecode(nil, line[1:]); err != nil {
			return errMessage
		}
	case !utf8.Valid(line): // as a WebSocket would refuse it (RFC 6455 §8.1)
		return errMessage
	}
	if len(p.data) > srv.opts.Channel.MaxMessageBytes {
		return errLarge
	}
	m, err := protocol.Parse(p.data)
	if err != nil || m.Kind == protocol.Gap || m.Kind == protocol.Hello || m.Kind == protocol.Kept {
		return errMessage
	}
	if m.Kind.Numbered() {
		if len(l.said) == srv.opts.Window { // more than may be unacknowledged
			return errLarge
		}
		l.said = append(l.said, p)
		return nil
	}
	switch m.Kind {
	case protocol.Ack:
		l.ack = max(l.ack, m.ID)
	case protocol.Ping:
		l.pinged = true
	case protocol.Pong:
		l.ponged = true
	case protocol.Token:
		token, err := tokenOf(m.Data)
		if err != nil {
			return errMessage
		}
		l.token = &token
	case protocol.Goodbye:
		b, err := byeOf(m.Data)
		if err != nil {
			return errMessage
		}
		l.gone = l.gone || b.End
	}
	return nil
}
