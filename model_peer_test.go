package troupe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// text is what can be told apart however it is cut, and is known to be whole.
func text(from string, n, size int) string {
	const fill = "abcdefghijklm\nöpqrstuvwxyz€"
	body := strings.Repeat(fill, size/len(fill)+1)
	return fmt.Sprintf("<%s|%d|%d|%s>", from, n, size, body[:boundaryAfter(body, size)])
}

var sentHead = regexp.MustCompile(`^<([a-z][a-z0-9/-]*)\|([0-9]+)\|([0-9]+)\|`)

// stopReading is the end of the peer's reading half.
func (s *subject) stopReading(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readAll = errors.Is(err, io.EOF)
	s.breakOff(true)
}

// waitToRead waits while the peer does not read.
func (s *subject) waitToRead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.paused {
		s.reading.Wait()
	}
}

func (s *subject) readBytes(from io.Reader, got func([]byte)) error {
	b := make([]byte, 100)
	for {
		s.waitToRead()
		n, err := from.Read(b)
		got(b[:n])
		if err != nil {
			return err
		}
	}
}

// readLines reads server-sent events.
func (s *subject) readLines(from io.Reader) error {
	var line []byte
	var data []string
	last := false // it was told when to come back
	return s.readBytes(from, func(b []byte) {
		for _, x := range b {
			if x != '\n' {
				line = append(line, x)
				continue
			}
			field, value, _ := strings.Cut(string(line), ":")
			switch value = strings.TrimPrefix(value, " "); {
			case len(line) == 0 && data != nil:
				s.arrived(strings.Join(data, "\n"), true)
				data = nil
			case len(line) == 0, field == "", field == "id" && !last, field == "event" && !last:
			case field == "retry" && data == nil && !last && s.w.rt.State() != actors.Running: // a drain's goodbye
				last = true
			case field == "data" && !last:
				data = append(data, value)
			default:
				s.fault("the peer got the line %q", line)
			}
			line = line[:0]
		}
	})
}

// readFrames reads a WebSocket.
func (s *subject) readFrames(p *transporttest.Peer) error {
	var message []byte
	var deflated bool
	var op ws.OpCode // of a message that goes on; 0: none
	for {
		s.waitToRead()
		f, err := p.ReadFrame(context.Background())
		if err != nil {
			return err
		}
		s.mu.Lock()
		mute, deaf := s.mute, s.deaf
		s.mu.Unlock()
		switch f.Header.OpCode {
		case ws.OpPing:
			if !mute {
				s.write(ws.NewPongFrame(f.Payload))
			}
		case ws.OpPong:
		case ws.OpClose:
			if !deaf {
				s.write(ws.NewCloseFrame(f.Payload))
			}
			s.mu.Lock()
			s.breakOff(true)
			s.goodbye = transporttest.ParseClose(f.Payload)
			s.mu.Unlock()
		default:
			if begins := f.Header.OpCode != ws.OpContinuation; begins != (op == 0) {
				s.fault("a frame with opcode %v where a message of %v goes on", f.Header.OpCode, op)
			} else if begins {
				op, deflated = f.Header.OpCode, f.Header.Rsv1()
			}
			message = append(message, f.Payload...)
			if !f.Header.Fin {
				continue
			}
			if deflated {
				if message, err = p.Inflate(message); err != nil {
					s.fault("the peer got what it cannot inflate: %v", err)
				}
			}
			if op == ws.OpText && !utf8.Valid(message) {
				s.fault("the peer got text that is not: %q", message)
			}
			s.arrived(string(message), true)
			message, op = nil, 0
		}
	}
}

// write has a frame follow what was written before. It does not wait: nobody
// may hold the lock of a peer while virtual time is to pass.
func (s *subject) write(f ws.Frame) { s.writeRaw(transporttest.Encode(f)) }

func (s *subject) writeRaw(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, done := s.pushed, make(chan struct{})
	s.pushed = done
	s.w.tasks.Go(func() {
		defer close(done)
		if before != nil {
			<-before
		}
		_ = s.peer.WriteRaw(b) // the server may be gone
	})
}

// arrived takes what came, one message if there are messages. It must be the
// texts that were sent, one after the other.
func (s *subject) arrived(got string, message bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.goodbye != nil {
		s.fault("%q came behind the close frame", got)
	}
	for got != "" {
		if begins := got[0] == '<'; begins {
			s.breakOff(false)
		} else if s.partly == "" {
			s.fault("the peer got %q, which begins in the middle", got)
			return
		}
		n := len(got)
		if i := strings.IndexByte(got[1:], '<'); i >= 0 {
			n = i + 1
		}
		s.partly += got[:n]
		s.pieces++
		if message && n < len(got) {
			s.fault("the peer got two texts in one message: %q", got)
		}
		got = got[n:]
		if strings.HasSuffix(s.partly, ">") {
			s.complete()
		}
	}
}

// complete is called with mu held when all of a text is there.
func (s *subject) complete() {
	got, pieces := s.partly, s.pieces
	s.partly, s.pieces = "", 0
	p, from, n, size := s.sentAs(got)
	if want := text(from, n, size); got != want {
		s.fault("the peer got %q, want %q", got, want)
	}
	if p == nil {
		return
	}
	p.all = true
	if p.one && pieces != 1 && s.framing != transport.FramingStream {
		s.fault("%v came in %d messages", p, pieces)
	}
}

// breakOff is called with mu held when a text that has begun does not go on, at
// the end of all or in the middle.
func (s *subject) breakOff(end bool) {
	if s.partly == "" {
		return
	}
	switch p, from, n, _ := s.sentAs(s.partly); {
	case p != nil:
		p.part = true
		if !end && (!p.source || p.one) {
			s.fault("%v does not go on", p)
		}
	case !end:
		s.fault("%s %d does not go on", from, n)
	}
	s.partly, s.pieces = "", 0
}

// sentAs is who sent what came, all of it or a part. It checks the order.
func (s *subject) sentAs(got string) (p *parcel, from string, n, size int) {
	parts := sentHead.FindStringSubmatch(got)
	if parts == nil {
		if !strings.HasSuffix(got, ">") && s.framing == transport.FramingStream {
			return nil, "", 0, 0 // torn off within the head
		}
		s.fault("the peer got %q", got)
		return nil, "", 0, 0
	}
	from = parts[1]
	n, _ = strconv.Atoi(parts[2])
	size, _ = strconv.Atoi(parts[3])
	if s.delivered == nil {
		s.delivered = map[string]int{}
	}
	if last := s.delivered[from]; n <= last {
		s.fault("the peer got %s %d after %d", from, n, last)
	}
	s.delivered[from] = n
	if s.final != nil {
		s.fault("the peer got %s %d after %v", from, n, s.final)
	}
	p = s.parcels[fmt.Sprintf("%s|%d", from, n)]
	if p == nil {
		s.heard++
		return
	}
	if p.first && s.heard > 0 {
		s.fault("the peer got %v after %d others", p, s.heard)
	}
	if p.last && !strings.HasPrefix(from, "latest") { // which may stand before older ones
		s.final = p
	}
	s.heard++
	return
}

func (s *subject) pause(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = paused
	s.reading.Broadcast()
}
