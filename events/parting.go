package events

import (
	"time"

	"github.com/troupe-actors/troupe/transport"
)

// partingTime is how long a connection may take to be given its goodbye.
const partingTime = time.Second

// letGo gives a connection back when it has taken what waits, its goodbye: where
// another goroutine writes, that is a moment later. One is let go at a time.
func (s *Session) letGo(in transport.Link) {
	if in == nil {
		return
	}
	s.endParting()
	s.parting, s.partBy = in, s.srv.now()+int64(partingTime)
	s.parts.Store(true) // before it is looked at: from now on its signals come here
	s.seeOff()
}

// seeOff looks after the connection that is let go.
func (s *Session) seeOff() {
	if p := s.parting; p != nil && (p.Flush() != nil || p.Pending() == 0 || s.srv.now() >= s.partBy) {
		s.endParting()
	}
}

func (s *Session) endParting() {
	if s.parting != nil {
		s.parts.Store(false)
		s.parting.Release()
		s.parting = nil
	}
}

// waveOff does the same with a connection that has never been a session's: on a
// goroutine, where another one writes.
func waveOff(l transport.Link) {
	if l.Flush() != nil || l.Pending() == 0 {
		l.Release()
		return
	}
	told := make(waiter, 1)
	l.Start(told)
	go func() {
		defer l.Release()
		late := time.NewTimer(partingTime)
		defer late.Stop()
		for l.Flush() == nil && l.Pending() > 0 {
			select {
			case <-told:
			case <-late.C:
				return
			}
		}
	}()
}

// waiter is told by a link that it is worth looking.
type waiter chan struct{}

func (w waiter) Readable() {}

func (w waiter) Writable() {
	select {
	case w <- struct{}{}:
	default:
	}
}
