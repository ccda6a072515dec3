package troupe_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// punctual is how late an outcome may be told: the monitor takes a while to see
// that handlers hold up all workers.
const punctual = 20 * time.Millisecond

// posted notes a parcel that is being sent.
func (s *subject) posted(p *parcel) (sealed bool, begun time.Time) {
	s.expectOf(p)
	s.hand(p.value)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sends = append(s.sends, p)
	if s.parcels == nil {
		s.parcels = map[string]*parcel{}
		s.written = map[string]int{}
	}
	s.parcels[fmt.Sprintf("%s|%d", p.from, p.n)] = p
	if p.within > 0 {
		p.by = time.Now().Add(p.within)
	}
	sealed, begun = s.sealed, s.begun
	s.touches++
	s.bodyless = s.bodyless || p.bodyless
	return sealed, begun
}

// returned notes what a send returned.
func (s *subject) returned(p *parcel, err error, sealed bool, begun time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.back, p.err = true, err
	now := time.Now()
	switch {
	case p.refusal != nil && !p.mayRefuse(err):
		s.fault("%v: %v, want %v", p, err, p.refusal)
	case err == nil && sealed:
		s.fault("%v was accepted after a ThenClose", p)
	case err == nil && p.first && now.Before(begun):
		s.fault("%v was accepted and was not the first", p)
	case err == nil && p.first && now.Before(s.responded):
		s.fault("%v was the second", p)
	case errors.Is(err, actors.ErrStarted) && s.touches == 1 && !s.w.published.Load() && !(s.framing == transport.FramingSSE && s.isOpen):
		s.fault("%v was refused and was the first", p)
	}
	if err != nil {
		return
	}
	until := forever // in the way of a Response: if p is not begun in its time it leaves its place
	if p.within > 0 && !p.waits {
		until = p.by
	}
	s.begun = later(s.begun, until)
	if p.first {
		s.responded = later(s.responded, until)
	}
	s.sealed = s.sealed || p.last
}

var forever = time.Unix(math.MaxInt32, 0)

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *subject) touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touches++
}

// send sends a parcel and counts its outcome, after which then is called.
func (s *subject) send(c *actors.Channel, p *parcel, then func(call)) {
	sealed, begun := s.posted(p)
	err := c.Send(p.value, s.listening(c, p, then)...)
	s.returned(p, err, sealed, begun)
	if err != nil && !p.mayRefuse(err) {
		s.fault("%v: %v", p, err)
	}
	if late := time.Since(p.by); !p.by.IsZero() && late > punctual {
		s.fault("%v returned %v too late", p, late)
	}
}

// listening is the options with an OnOutcome if it is to have one.
func (s *subject) listening(c *actors.Channel, p *parcel, then func(call)) []actors.SendOption {
	if !p.told {
		return p.options
	}
	return append(p.options[:len(p.options):len(p.options)], actors.OnOutcome(func(out actors.Outcome, err error) {
		s.mu.Lock()
		s.tell(c, p, out, err)
		s.mu.Unlock()
		k := s.enter("completion")
		defer k.leave()
		if then != nil {
			then(k)
		}
	}))
}

// wait sends a parcel and waits for its outcome.
func (s *subject) wait(ctx context.Context, c *actors.Channel, p *parcel) {
	p.note("waited for")
	p.waits = true
	sealed, begun := s.posted(p)
	err := c.SendWait(ctx, p.value, s.listening(c, p, nil)...)
	s.returned(p, err, sealed, begun)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !p.mayRefuse(err) && !p.mayFail(err) {
		s.fault("%v: %v", p, err)
	}
	s.inTime(c, p)
}

// push sends a parcel by PID.
func (s *subject) push(c *actors.Channel, p *parcel) {
	p.pushed = true
	s.posted(p)
	s.w.rt.System().Root.Send(c.PID(), &actors.Push{Message: p.value, Options: s.listening(c, p, nil)})
	_, there := s.w.rt.Channel(c.ID())
	s.mu.Lock()
	defer s.mu.Unlock()
	p.back, p.stray = true, !there
}

// finale is a function of OnClose.
type finale struct {
	what string
	runs int // guarded by the subject's mu
}

func (s *subject) onClose(c *actors.Channel, what string) {
	f := &finale{what: what}
	s.mu.Lock()
	s.ends = append(s.ends, f)
	s.mu.Unlock()
	here := true // guarded by mu: it may be running inside OnClose
	c.OnClose(func(e actors.Closed) {
		s.mu.Lock()
		f.runs++
		if c.IsOpen() || s.began > 0 && (s.closes == 0 || e.Cause != s.cause) {
			s.fault("a function of OnClose (%q) runs: open %v, closes %d, %v, want %v", what, c.IsOpen(), s.closes, e.Cause, s.cause)
		}
		calm := here
		s.mu.Unlock()
		if calm {
			return
		}
		switch what {
		case "panic":
			panic("as asked")
		case "goexit":
			runtime.Goexit()
		case "stick":
			<-s.w.held()
		case "nap":
			time.Sleep(2500 * time.Millisecond)
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	here = false
}

// sendOne sends from the handler, as change says if that is not nil. An abandoned
// call is another sender than the one in its place.
func (s *subject) sendOne(c *actors.Channel, k call, change func(*parcel), then func(call), options ...actors.SendOption) {
	from := fmt.Sprintf("handler/%d", k.epoch)
	s.mu.Lock()
	stale := k.epoch != s.epoch
	s.mu.Unlock()
	if stale {
		return // it would wait in Block like anybody else
	}
	p := s.parcel(s.random, from, s.next(), options...)
	if change != nil {
		change(p)
	}
	if p.waits {
		p.note("waited for in the handler")
		p.refusal = actors.ErrSelfBlock
		s.wait(context.Background(), c, p)
		return
	}
	s.send(c, p, then)
}

func (s *subject) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
	return s.sent
}

func (s *subject) random(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n)
}
