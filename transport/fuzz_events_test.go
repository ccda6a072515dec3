package transport_test

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/troupe-actors/troupe/transport"
)

// FuzzSSE sends events of any fields, texts, fragments and pings, and reads them as
// the HTML standard has it: what was sent arrives, and nothing else.
func FuzzSSE(f *testing.F) {
	f.Add("name", "7", int64(1500*time.Millisecond+1), []byte("a\r\nb\rdata: c\n\n"), []byte("\x01\x02\x03"))
	f.Add("", "", int64(0), []byte("\ufeff: comment\nid: 8\nretry: 1"), []byte("\x02ab\x02cd\x06\x00\x05\x04\x03xyz"))
	f.Add("a\nb", "\x00", int64(-1), []byte("\n"), []byte{})
	f.Add(" x:y", " :", int64(1), []byte(" \r"), []byte("\x02\x00\x09\x41\x0d\x06\x02\x0a"))
	f.Fuzz(func(t *testing.T, event, id string, retry int64, data, script []byte) {
		if len(data) > 1<<12 || len(script) > 1<<10 {
			return
		}
		e := transport.SSE{Event: event, ID: id, Retry: time.Duration(retry), Data: data}
		p, err := transport.NewEvent(e)
		if bad := strings.ContainsAny(event+id, "\r\n") || strings.Contains(id, "\x00") || retry < 0 || !utf8.ValidString(event+"\x00"+id) || !utf8.Valid(data); bad != (err != nil) {
			t.Fatalf("%+v: %v", e, err)
		}
		out := &eventOutput{t: t}
		d := &dice{script}
		if err == nil {
			out.event(p, e)
		}
		for d.more() {
			switch d.n(5) {
			case 0:
				ping, _ := transport.NewPing(nil)
				out.packets = append(out.packets, ping)
			case 1:
				if err == nil {
					out.event(p, e)
				}
			case 2:
				s := d.text()
				out.packets = append(out.packets, transport.NewPacket(transport.Text, []byte(s)))
				out.want = append(out.want, dispatched{data: lineEnds.ReplaceAllString(s, "\n")})
			default:
				var all string
				n := 1 + d.n(4)
				for i := range n {
					s := d.text()
					if i < n-1 {
						s = strings.TrimRight(s, "\r") // as NewFragment wants it
					}
					all += s
					out.packets = append(out.packets, transport.NewFragment(transport.Text, []byte(s), i == 0, i == n-1))
					if d.odds(3) {
						ping, _ := transport.NewPing(nil)
						out.packets = append(out.packets, ping)
					}
				}
				out.want = append(out.want, dispatched{data: lineEnds.ReplaceAllString(all, "\n")})
			}
		}
		out.check(1 + d.n(50))
		out.check(0) // the packets are shared: another link sends the same
	})
}

// text is a few characters, of which many mean something to a reader of events.
func (d *dice) text() (s string) {
	for range d.n(12) {
		s += []string{"\n", "\r", "\r\n", ":", " ", "data", "id", "event: x", "retry: 1", "é", "\ufeff", "\x00", string(rune('a' + d.n(26)))}[d.n(13)]
	}
	return s
}

var lineEnds = regexp.MustCompile("\r\n|\r|\n")

// dispatched is an event as an EventSource hands it out.
type dispatched struct{ event, id, data string }

type eventOutput struct {
	t       *testing.T
	packets []*transport.Packet
	want    []dispatched
	retry   string // the last that was set
}

func (o *eventOutput) event(p *transport.Packet, e transport.SSE) {
	o.packets = append(o.packets, p)
	o.want = append(o.want, dispatched{event: e.Event, id: e.ID, data: lineEnds.ReplaceAllString(string(e.Data), "\n")})
	if ms := e.Retry.Nanoseconds() / 1e6; e.Retry > 0 {
		if e.Retry%time.Millisecond > 0 {
			ms++
		}
		o.retry = strconv.FormatInt(ms, 10)
	}
}

// check sends everything in writes of at most so many bytes (0: any) and reads it.
func (o *eventOutput) check(most int) {
	l, c := (&transport.Config{}).MemoryStream(transport.FramingSSE, 1<<22)
	defer l.Release()
	transport.Count(l).Max = most
	for _, p := range o.packets {
		before := l.Queued()
		if err := l.Queue(p); err != nil {
			o.t.Fatal(err)
		}
		if n := l.Queued() - before; n > uint64(p.Size()) && !bytes.ContainsAny(p.Data(), "\r\n") {
			o.t.Errorf("%d bytes of a packet of %d", n, p.Size())
		}
	}
	for ok := true; ok; ok = l.Pending() > 0 {
		if err := l.Flush(); err != nil {
			o.t.Fatal(err)
		}
	}
	l.Close(0, "")
	l.CloseWrite()
	var b bytes.Buffer
	if _, err := b.ReadFrom(c); err != nil {
		o.t.Fatal(err)
	}
	got, retry := eventSource(b.String())
	id := ""
	for i, e := range o.want { // an ID holds until there is another
		if e.id != "" {
			id = e.id
		}
		o.want[i].id = id
	}
	if !slices.Equal(got, o.want) || retry != o.retry {
		o.t.Fatalf("got  %q retry %q\nwant %q retry %q\nof %q", got, retry, o.want, o.retry, b.String())
	}
}

// eventSource reads events as HTML, §9.2.6, has it, line by line.
func eventSource(s string) (all []dispatched, retry string) {
	var id, event string
	var data strings.Builder
	lines := lineEnds.Split(strings.TrimPrefix(s, "\ufeff"), -1)
	for _, line := range lines[:len(lines)-1] { // what stands behind the last end is no line
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if data.Len() > 0 {
				all = append(all, dispatched{event, id, strings.TrimSuffix(data.String(), "\n")})
			}
			event = ""
			data.Reset()
		case field == "event":
			event = value
		case field == "data":
			data.WriteString(value + "\n")
		case field == "id" && !strings.Contains(value, "\x00"):
			id = value
		case field == "retry" && regexp.MustCompile(`^[0-9]+$`).MatchString(value):
			retry = value
		}
	}
	return all, retry
}

// TestEventSource: the reader that FuzzSSE trusts reads the standard's own examples.
func TestEventSource(t *testing.T) {
	for in, want := range map[string]string{
		"data: YHOO\ndata: +2\ndata: 10\n\n": `[{"" "" "YHOO\n+2\n10"}]`,
		": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n": `[{"" "1" "first event"} {"" "" "second event"} {"" "" " third event"}]`,
		"data\n\ndata\ndata\n\ndata:":                                `[{"" "" ""} {"" "" "\n"}]`,
		"data:test\n\ndata: test\r\rdata: cut":                       `[{"" "" "test"} {"" "" "test"}]`,
		"event: add\ndata: 73857293\n\nevent: remove\n\ndata: x\n\n": `[{"add" "" "73857293"} {"" "" "x"}]`,
	} {
		got, _ := eventSource(in)
		if s := fmt.Sprintf("%q", got); s != want {
			t.Errorf("%q: got %s, want %s", in, s, want)
		}
	}
}
