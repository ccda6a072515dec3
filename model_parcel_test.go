package troupe_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// parcel is one send: what is sent, how, and what became of it. Whatever it is
// wrapped in, and however that is cut, what arrives is its text.
type parcel struct {
	from    string
	n       int
	how     []string // for people
	text    string   // "": nothing arrives
	value   any
	options []actors.SendOption
	refusal error // what the send must be refused with, if it cannot be
	within  time.Duration

	one      bool // it arrives as one message, on framings that have some
	source   bool
	whole    bool
	first    bool // a Response
	bodyless bool // and one that has no body
	last     bool // ThenClose
	flaw     string
	told     bool // it has an OnOutcome
	waits    bool // for its outcome
	pushed   bool // by PID: nobody hears of a refusal
	stray    bool // and perhaps to nobody: then it is a dead letter as it is

	// Guarded by the subject's mu.
	by      time.Time // when it must have been told; zero: any time
	back    bool      // the send has returned
	err     error
	done    int // how often its outcome was told
	out     actors.Outcome
	errored int  // how often Error heard of it
	midway  bool // its source went wrong inside a message
	part    bool // some of it has arrived
	all     bool // all of it
}

func (p *parcel) String() string {
	return fmt.Sprintf("%s %d (%s)", p.from, p.n, strings.Join(p.how, ", "))
}

func (p *parcel) note(format string, args ...any) {
	p.how = append(p.how, fmt.Sprintf(format, args...))
}

// dice gives a number below n.
type dice func(n int) int

func pick[T any](d dice, of ...T) T { return of[d(len(of))] }

// parcel makes a send of any kind.
func (s *subject) parcel(d dice, from string, n int, options ...actors.SendOption) *parcel {
	size := d(300)
	if d(20) == 0 {
		size = pick(d, 2000, 2000, 20_000) // more than a mailbox holds, or than a piece
	}
	p := &parcel{from: from, n: n, text: text(from, n, size), options: options, told: d(2) == 0}
	p.value = s.wrap(d, p)
	if d(10) == 0 {
		s.respond(d, p)
	}
	if d(6) == 0 {
		p.within = time.Duration(1+d(3000)) * time.Millisecond
		p.note("within %v", p.within)
		p.options = append(p.options, actors.Within(p.within))
	}
	if d(40) == 0 {
		p.thenClose()
	}
	if d(10) == 0 {
		p.options = append(p.options, actors.Uncompressed())
	}
	if d(40) == 0 {
		p.note("within no time")
		p.options = append(p.options, actors.Within(-1))
		p.refusal, p.within = errArgument, 0
	}
	return p
}

func (p *parcel) thenClose() {
	p.note("then close")
	p.last = true
	p.options = append(p.options, actors.ThenClose())
}

// respond makes a Response of it.
func (s *subject) respond(d dice, p *parcel) {
	if p.first {
		return
	}
	status := pick(d, 0, 200, 404, 204)
	p.note("response %d", status)
	p.first, p.bodyless = true, status == 204
	p.value = actors.Response{Status: status, Body: p.value}
	if !s.stream && p.refusal != errArgument {
		p.refusal = actors.ErrFraming
	}
}

// errArgument stands for any *actors.ArgumentError.
var errArgument = errors.New("an argument that must not be")

// errModel is what sources and encoders of the model fail with.
type errModel struct{ p *parcel }

func (e *errModel) Error() string { return "as planned for " + e.p.String() }

type encoder func() (any, error)

func (f encoder) EncodeMessage() (any, error) { return f() }

// wrap makes a value of the text.
func (s *subject) wrap(d dice, p *parcel) any {
	p.one = true
	sse := s.framing == transport.FramingSSE
	switch n := d(28); {
	case n < 6:
		p.note("string")
		return p.text
	case n < 8:
		p.note("bytes")
		if sse {
			p.refusal = actors.ErrFraming
		}
		return []byte(p.text)
	case n < 9:
		p.note("message")
		return actors.Text(p.text)
	case n < 10:
		p.note("event")
		return actors.Event{Event: "model", ID: fmt.Sprint(p.n), Data: []byte(p.text)}
	case n < 11:
		p.note("packet")
		return transport.NewPacket(transport.Text, []byte(p.text))
	case n < 12:
		p.note("nothing")
		p.text = ""
		return pick(d, nil, any(strings.NewReader("")), any(iter.Seq[any](func(func(any) bool) {})))
	case n < 13:
		p.note("ping")
		p.text = ""
		if s.framing == transport.FramingStream {
			p.refusal = actors.ErrFraming
		}
		return actors.Ping{Data: []byte("model")}
	case n < 14:
		refused := pick(d, struct {
			v    any
			want error
		}{struct{}{}, actors.ErrType}, struct {
			v    any
			want error
		}{"\xff", actors.ErrNotUTF8})
		p.note("refused %T", refused.v)
		p.text, p.refusal = "", refused.want
		return refused.v
	case n < 17:
		p.note("encoder")
		if d(6) == 0 {
			p.refusal = &errModel{p}
			return encoder(func() (any, error) { return nil, p.refusal })
		}
		v := s.wrap(d, p)
		return encoder(func() (any, error) { s.hand(v); return v, nil })
	case n < 23:
		return s.readerOf(d, p)
	default:
		return s.sequenceOf(d, p)
	}
}

// readerOf sends the text as a reader.
func (s *subject) readerOf(d dice, p *parcel) any {
	p.source = true
	asText := d(2) == 0
	if p.whole = d(2) == 0; p.whole {
		p.options = append(p.options, actors.Whole())
	}
	if asText {
		p.options = append(p.options, actors.AsText())
	}
	p.one = p.whole
	r := s.reader(d, p, p.text, true, asText || s.framing == transport.FramingSSE)
	p.note("reader, whole %v, text %v, flaw %q", p.whole, asText, p.flaw)
	return r
}

// sequenceOf sends the text as a sequence.
func (s *subject) sequenceOf(d dice, p *parcel) any {
	p.source, p.one = true, false
	if p.whole = d(3) == 0; p.whole {
		p.options = append(p.options, actors.Whole())
	}
	items := s.items(d, p, p.text, true)
	p.note("sequence of %d, whole %v, flaw %q", len(items), p.whole, p.flaw)
	if strings := onlyStrings(items); p.flaw == "" && strings != nil {
		return slices.Values(strings)
	}
	return s.sequence(p, items)
}

// onlyStrings makes a sequence of another type possible.
func onlyStrings(items []any) (all []string) {
	for _, item := range items {
		text, ok := item.(string)
		if !ok {
			return nil
		}
		all = append(all, text)
	}
	return all
}

// hand notes that the runtime has a reader, which it must close.
func (s *subject) hand(v any) {
	if r, ok := v.(actors.Response); ok {
		v = r.Body
	}
	if r, ok := v.(*modelReader); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		r.handed = true
	}
}

// expectOf notes the ends of the channel that a send may have.
func (s *subject) expectOf(p *parcel) {
	late := p.within > 0
	fails := p.source && (p.flaw != "" || len(p.text) > 600)
	if p.last || p.bodyless {
		s.expect(supervisor.CauseLocalClosed)
	}
	if late {
		s.expect(supervisor.CauseWriteTimeout)
	}
	if p.last && (late || fails) || p.whole && (late || fails) {
		s.expect(supervisor.CauseTransportError)
	}
}
