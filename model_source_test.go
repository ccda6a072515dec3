package troupe_test

import (
	"io"
	"iter"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// modelReader yields a text in pieces, and may go wrong before one of them. Only
// one that is handed over as it is has a Close.
type modelReader struct {
	s       *subject
	p       *parcel
	pieces  []string
	next    int    // piece
	rest    string // of the piece that did not fit
	flaw    string
	at      int  // the piece before which it goes wrong
	early   bool // the end comes with the last piece
	badEnd  bool // its Close panics
	closing chan struct{}

	// Guarded by the subject's mu.
	handed bool // the runtime got it
	closes int
}

// reader makes a reader of a text. Its first piece ends between characters, so
// that something of it is sent. With text it must not be garbled.
func (s *subject) reader(d dice, p *parcel, all string, top, text bool) any {
	r := &modelReader{s: s, p: p, early: d(2) == 0, badEnd: d(10) == 0, closing: make(chan struct{})}
	first := boundaryAfter(all, headOf(all)+d(20))
	r.pieces = append(r.pieces, all[:first])
	for all = all[first:]; all != ""; {
		n := min(len(all), 1+d(150))
		r.pieces, all = append(r.pieces, all[:n]), all[n:]
	}
	if p.flaw == "" && (top && d(3) == 0 || !top && d(8) == 0) {
		r.flaw = pick(d, "fails", "panics", "exits", "empty", "waits", "naps", "garbles")
		if r.flaw == "garbles" && !text {
			r.flaw = "fails"
		}
		p.flaw, r.at = r.flaw, d(len(r.pieces)+1)
	}
	if d(4) == 0 {
		return struct{ io.Reader }{r}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers = append(s.readers, r)
	return r
}

// headOf is how many bytes tell whose text it is.
func headOf(text string) int {
	if m := sentHead.FindString(text); m != "" {
		return len(m)
	}
	return 1
}

// boundaryAfter is the first place at or behind n where text can be cut.
func boundaryAfter(text string, n int) int {
	for n = min(n, len(text)); n < len(text) && !utf8.RuneStart(text[n]); n++ {
	}
	return n
}

// Len is how much of it is left.
func (r *modelReader) Len() int { return len(r.rest) + len(strings.Join(r.pieces[r.next:], "")) }

func (r *modelReader) Read(b []byte) (int, error) {
	if r.rest == "" {
		if r.flaw != "" && r.next == r.at {
			if n, err := r.goWrong(b); n > 0 || err != nil || r.flaw != "" {
				return n, err
			}
		}
		if r.next == len(r.pieces) {
			return 0, io.EOF
		}
		r.rest = r.pieces[r.next]
		r.next++
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	if r.early && r.rest == "" && r.next == len(r.pieces) && (r.flaw == "" || r.at < r.next) {
		return n, io.EOF
	}
	return n, nil
}

func (r *modelReader) goWrong(b []byte) (int, error) {
	flaw := r.flaw
	if flaw == "waits" || flaw == "naps" {
		r.flaw = ""
		if r.s.hang(flaw, r.closing) {
			return 0, nil
		}
		return 0, io.ErrClosedPipe
	}
	r.s.mu.Lock()
	r.p.midway = r.p.whole && r.next > 0
	r.s.mu.Unlock()
	switch flaw {
	case "panics":
		panic("as planned")
	case "exits":
		runtime.Goexit()
	case "empty":
		return 0, nil
	case "garbles":
		return copy(b, "\xff\xff\xff\xff"), nil
	}
	return 0, &errModel{r.p}
}

// hang waits until handlers are released, or for a while. It reports false if
// it was ended before.
func (s *subject) hang(how string, end <-chan struct{}) bool {
	s.mu.Lock()
	s.hanging++
	nap := time.Duration(s.rng.IntN(3000)) * time.Millisecond
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hanging--
	}()
	if how == "naps" {
		time.Sleep(nap)
		return true
	}
	select {
	case <-s.w.held():
		return true
	case <-end:
		return false
	}
}

func (r *modelReader) Close() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.closes++; r.closes == 1 {
		close(r.closing)
	}
	if r.badEnd {
		panic("as planned in a Close")
	}
	return nil
}

// items are the values of a sequence that make up a text.
func (s *subject) items(d dice, p *parcel, all string, top bool) (items []any) {
	sse := s.framing == transport.FramingSSE
	for first := true; all != "" || first; first = false {
		n := boundaryAfter(all, headOf(all)+pick(d, 200, 200, 200, 20_000)*d(100)/100)
		item := all[:n]
		all = all[n:]
		switch d(12) {
		case 0:
			items = append(items, actors.Text(item))
		case 1:
			items = append(items, actors.Event{Data: []byte(item)})
		case 2:
			items = append(items, encoder(func() (any, error) { return item, nil }))
		case 3, 4:
			items = append(items, s.reader(d, p, item, false, sse))
		case 5:
			if top {
				items = append(items, s.sequence(p, s.items(d, p, item, false)))
			} else {
				items = append(items, nil, item)
			}
		case 6:
			if sse {
				items = append(items, item)
			} else {
				items = append(items, []byte(item))
			}
		default:
			items = append(items, item)
		}
	}
	if p.flaw == "" && d(6) == 0 {
		p.flaw = pick(d, "panics", "exits", "waits", "naps", "unsendable", "encode", "forbidden")
		if p.flaw == "forbidden" && s.framing == transport.FramingWebSocket {
			p.flaw = "unsendable" // it carries everything
		}
		at := d(len(items) + 1)
		items = append(items[:at:at], append([]any{flawed{s, p}}, items[at:]...)...)
	}
	return items
}

// flawed is where a sequence goes wrong.
type flawed struct {
	s *subject
	p *parcel
}

// sequence yields items.
func (s *subject) sequence(p *parcel, items []any) iter.Seq[any] {
	return func(yield func(any) bool) {
		for _, item := range items {
			if _, ok := item.(flawed); ok {
				switch p.flaw {
				case "panics":
					panic("as planned")
				case "exits":
					runtime.Goexit()
				case "unsendable":
					item = pick(s.random, any(struct{}{}), any(actors.Response{Status: 200}), any(42))
				case "forbidden":
					item = actors.Pong{}
				case "encode":
					item = encoder(func() (any, error) { return nil, &errModel{p} })
				default:
					s.hang(p.flaw, nil)
					continue
				}
			}
			s.hand(item)
			if !yield(item) {
				return
			}
		}
	}
}
