package troupe_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/transport"
)

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
		s.begun = forever
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

// sized reports whether no more is read than the Content-Length: then it may go
// well although the reader would go wrong at the end.
func (p *parcel) sized(s *subject) bool { return p.last && s.framing == transport.FramingStream }

// mayFail reports whether an accepted send may have this as its outcome.
func (p *parcel) mayFail(err error) bool {
	var bug *actors.HandlerError
	var planned *errModel
	switch {
	case errors.Is(err, actors.ErrTimeout):
		return p.within > 0
	case errors.Is(err, actors.ErrTooBig), errors.Is(err, actors.ErrBudget):
		return p.source && len(p.text) > 600
	case errors.As(err, &planned):
		return planned.p == p && (p.flaw == "fails" || p.flaw == "encode")
	case errors.As(err, &bug):
		return bug.Where == "source" && (p.flaw == "panics" || p.flaw == "exits" && errors.Is(err, mailbox.ErrGoexit))
	}
	want, ok := flawErrors[p.flaw]
	return ok && errors.Is(err, want)
}

var flawErrors = map[string]error{
	"empty":      io.ErrNoProgress,
	"garbles":    actors.ErrNotUTF8,
	"unsendable": actors.ErrType,
	"forbidden":  actors.ErrFraming,
}

// mayRefuse reports whether the send may return this error.
func (p *parcel) mayRefuse(err error) bool {
	var argument *actors.ArgumentError
	var refused *errModel
	switch {
	case p.refusal == errArgument:
		return errors.As(err, &argument)
	case errors.As(p.refusal, &refused):
		return errors.Is(err, refused)
	case p.refusal != nil:
		return errors.Is(err, p.refusal)
	case p.first && errors.Is(err, actors.ErrStarted):
		return true
	case errors.Is(err, actors.ErrTimeout):
		return p.within > 0
	case errors.Is(err, actors.ErrTooBig):
		return len(p.text) > 500
	}
	return slices.ContainsFunc(sendErrors, func(want error) bool { return errors.Is(err, want) })
}

var sendErrors = []error{
	actors.ErrClosed, actors.ErrFull, actors.ErrBudget, actors.ErrDropped, actors.ErrOverflow, actors.ErrSelfBlock,
	context.Canceled, context.DeadlineExceeded,
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
		case written && p.bodyless && s.heard > 0:
			s.fault("%v was written and %d texts have arrived", p, s.heard)
		case written && p.text != "" && !p.all && s.readAll && !s.bodyless:
			s.fault("%v was written and has not arrived", p)
		case lost && (p.all || p.part):
			s.fault("%v has arrived: outcome %v, error %v", p, p.out, p.err)
		case written && p.part && s.readAll:
			s.fault("%v was written and arrived in part", p)
		}
	}
}
