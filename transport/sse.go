package transport

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// EventError says what a server-sent event cannot carry.
type EventError struct {
	Field   string // of SSE
	Value   string // of Data its beginning
	Allowed string
}

func (e *EventError) Error() string {
	return fmt.Sprintf("transport: SSE.%s %q: want %s", e.Field, e.Value, e.Allowed)
}

func (e *SSE) check() error {
	switch {
	case strings.ContainsAny(e.Event, "\r\n"):
		return &EventError{"Event", e.Event, "no line break"}
	case strings.ContainsAny(e.ID, "\r\n\x00"):
		return &EventError{"ID", e.ID, "no line break and no NUL"}
	case e.Retry < 0:
		return &EventError{"Retry", e.Retry.String(), "0 or more"}
	case !utf8.ValidString(e.Event):
		return &EventError{"Event", e.Event, "UTF-8"}
	case !utf8.ValidString(e.ID):
		return &EventError{"ID", e.ID, "UTF-8"}
	case !utf8.Valid(e.Data):
		return &EventError{"Data", string(e.Data[:min(len(e.Data), 64)]), "UTF-8"}
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
		b = appendRetry(b, e.Retry)
	}
	return appendEventData(b, e.Data, partWhole)
}

// appendRetry writes a line that sets the reconnection time.
func appendRetry(b []byte, d time.Duration) []byte {
	ms := (d-1)/time.Millisecond + 1
	b = append(b, "retry: "...)
	return append(strconv.AppendInt(b, int64(ms), 10), '\n')
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
