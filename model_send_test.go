package troupe_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// punctual is how late an outcome may be told: the monitor takes a while to see
// that handlers hold up all workers.
const punctual = 20 * time.Millisecond

// posted notes a parcel that is being sent.
func (s *subject) posted(p *parcel) (sealed, begun bool) {
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
func (s *subject) returned(p *parcel, err error, sealed, begun bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.back, p.err = true, err
	switch {
	case p.refusal != nil && !p.mayRefuse(err):
		s.fault("%v: %v, want %v", p, err, p.refusal)
	case err == nil && sealed:
		s.fault("%v was accepted after a ThenClose", p)
	case err == nil && p.first && begun:
		s.fault("%v was accepted and was not the first", p)
	case err == nil && p.first && s.responded:
		s.fault("%v was the second", p)
	case errors.Is(err, actors.ErrStarted) && s.touches == 1 && !(s.framing == transport.FramingSSE && s.isOpen):
		s.fault("%v was refused and was the first", p)
	}
	if err != nil {
		return
	}
	s.begun = true
	s.responded = s.responded || p.first
	s.sealed = s.sealed || p.last
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

// tell is called with mu held when an outcome is told.
func (s *subject) tell(c *actors.Channel, p *parcel, out actors.Outcome, err error) {
	p.done++
	p.out = out
	bad := false
	switch out {
	case actors.Written:
		bad = err != nil || !p.bodyless && !p.sized(s) && p.flaw != "" && p.flaw != "waits" && p.flaw != "naps"
		if !p.waits && s.written[p.from] > p.n {
			s.fault("%v was written after %d", p, s.written[p.from])
		}
		s.written[p.from] = p.n
	case actors.NotOpen:
		bad = !errors.Is(err, actors.ErrClosed) || c.IsOpen()
	case actors.Dropped:
		bad = !errors.Is(err, actors.ErrDropped)
	case actors.Failed:
		bad = !p.mayFail(err) || p.midway && c.IsOpen()
	default:
		bad = true
	}
	if bad {
		s.fault("%v: outcome %v: %v; midway %v, open %v", p, out, err, p.midway, c.IsOpen())
	}
	if errors.Is(err, actors.ErrTimeout) && time.Now().Before(p.by) {
		s.fault("%v: %v, %v too early", p, err, time.Until(p.by))
	}
	s.inTime(c, p)
}

// inTime is called with mu held where the sender of a parcel is told of it. It may
// be late if something else has kept the channel, or kept it until now.
func (s *subject) inTime(c *actors.Channel, p *parcel) {
	late := time.Since(p.by)
	kept := s.call != 0 || s.lifeStuck || s.spawned || !s.isOpen || time.Since(s.left) <= punctual
	if !p.by.IsZero() && late > punctual && c.IsOpen() && !kept && p.back {
		s.fault("%v was told %v too late", p, late)
	}
}

// heardOf is what a handler's Error was told.
func (s *subject) heardOf(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed *actors.SendError
	var planned *errModel
	if !errors.As(err, &failed) || !errors.As(err, &planned) {
		return
	}
	p := planned.p
	if p.errored++; p.errored > 1 || p.told || p.waits && p.back && p.err == nil {
		s.fault("error was told %d times of %v", p.errored, p)
	}
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

// checkSends is called with mu held when the channel has ended.
func (s *subject) checkSends() {
	for _, p := range s.sends {
		switch {
		case !p.back:
			s.fault("%v has not returned", p)
		case p.pushed || p.waits:
			if p.done > 1 || p.err == nil && !p.pushed && p.told && p.done != 1 {
				s.fault("%v has %d outcomes, %v; %v", p, p.done, p.err, s.cause)
			}
		case p.err == nil && p.told && p.done != 1:
			s.fault("%v was accepted and has %d outcomes; %v", p, p.done, s.cause)
		case p.err != nil && p.done != 0:
			s.fault("%v was refused by %v and has %d outcomes", p, p.err, p.done)
		}
	}
}

// checkReaders is called with mu held when the channel has ended.
func (s *subject) checkReaders() {
	for _, r := range s.readers {
		if r.handed && r.closes != 1 && !r.p.stray || r.closes > 1 {
			s.fault("%v: a reader was closed %d times; handed over %v", r.p, r.closes, r.handed)
		}
	}
}

// checkArrivals is called with mu held when all has arrived that ever will.
func (s *subject) checkArrivals() {
	for _, p := range s.sends {
		written := p.done > 0 && p.out == actors.Written || p.waits && p.err == nil && p.back && !p.told
		lost := p.done > 0 && p.out == actors.Dropped || p.err != nil && !p.waits ||
			errors.Is(p.err, actors.ErrFull) || errors.Is(p.err, actors.ErrDropped) || errors.Is(p.err, actors.ErrOverflow)
		switch {
		case p.bodyless && p.back && p.err == nil && !p.pushed && s.heard > 0:
			s.fault("%v was accepted and %d texts have arrived", p, s.heard)
		case written && p.text != "" && !p.all && s.readAll && !s.bodyless:
			s.fault("%v was written and has not arrived", p)
		case lost && (p.all || p.part):
			s.fault("%v has arrived: outcome %v, error %v", p, p.out, p.err)
		case written && p.part && s.readAll:
			s.fault("%v was written and arrived in part", p)
		}
	}
}
