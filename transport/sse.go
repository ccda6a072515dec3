package transport

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

func (e *SSE) check() error {
	if strings.ContainsAny(e.Event, "\r\n") {
		return errors.New("transport: SSE.Event: a line break is not allowed")
	}
	if strings.ContainsAny(e.ID, "\r\n\x00") {
		return errors.New("transport: SSE.ID: a line break or NUL is not allowed")
	}
	if e.Retry < 0 {
		return fmt.Errorf("transport: SSE.Retry %v: must not be negative", e.Retry)
	}
	return nil
}

// appendEvent writes the lines of an event and the empty line that ends it.
func appendEvent(b []byte, e SSE) []byte {
	if e.Event != "" {
		b = append(append(append(b, "event: "...), e.Event...), '\n')
	}
	if e.ID != "" {
		b = append(append(append(b, "id: "...), e.ID...), '\n')
	}
	if e.Retry > 0 {
		ms := (e.Retry-1)/time.Millisecond + 1
		b = append(b, "retry: "...)
		b = append(strconv.AppendInt(b, int64(ms), 10), '\n')
	}
	// A line may end in CR, LF or both; a bare CR inside a data line would let
	// the payload write fields of its own.
	for rest := e.Data; ; {
		i := bytes.IndexAny(rest, "\r\n")
		if i < 0 {
			b = append(append(append(b, "data: "...), rest...), '\n')
			break
		}
		b = append(append(append(b, "data: "...), rest[:i]...), '\n')
		if rest[i] == '\r' && i+1 < len(rest) && rest[i+1] == '\n' {
			i++
		}
		rest = rest[i+1:]
	}
	return append(b, '\n')
}

// eventLines is the packet as an event, encoded once and then shared.
func (p *Packet) eventLines() []byte {
	if lines := p.sse.Load(); lines != nil {
		return *lines
	}
	lines := appendEvent(make([]byte, 0, len(p.data)+8), SSE{Data: p.data})
	p.sse.Store(&lines) // a racing goroutine stores the same bytes
	return lines
}
