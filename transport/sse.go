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

// appendEvent writes an event.
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
	return appendEventData(b, e.Data, partWhole)
}

const dataField = "data: "

// appendEventData writes a part of an event's data, and with the last the empty
// line that ends the event.
func appendEventData(b, data []byte, part part) []byte {
	if part&partFirst != 0 {
		b = append(b, dataField...)
	}
	// A line may end in CR, LF or both; a bare CR inside a data line would let
	// the payload write fields of its own.
	for {
		i := bytes.IndexAny(data, "\r\n")
		if i < 0 {
			b = append(b, data...)
			break
		}
		b = append(append(append(b, data[:i]...), '\n'), dataField...)
		if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
			i++
		}
		data = data[i+1:]
	}
	if part&partLast != 0 {
		b = append(b, "\n\n"...)
	}
	return b
}

// eventLines is the packet as an event or a part of one, encoded once and then shared.
func (p *Packet) eventLines() []byte {
	if lines := p.sse.Load(); lines != nil {
		return *lines
	}
	lines := appendEventData(make([]byte, 0, len(p.data)+8), p.data, p.part)
	p.sse.Store(&lines) // a racing goroutine stores the same bytes
	return lines
}
