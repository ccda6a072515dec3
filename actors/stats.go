package actors

import (
	"sync/atomic"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
)

// Stats is what a runtime has counted since it started. When it has stopped,
// Opened equals Closed.
type Stats struct {
	Opened int64 // channels whose Open began
	Closed int64 // channels whose Close was delivered

	Causes map[supervisor.Cause]int64 // of the closed ones

	Received int64             // messages of peers
	Sends    map[Outcome]int64 // what became of sends; Written counts packets the kernel took

	HandlerFailed int64 // panics of handlers; each cost one message
	HandlerStuck  int64 // calls abandoned at their deadline
	Abandoned     int   // of those, the goroutines that have not ended yet
	Refused       int64 // requests answered with an error
	DeadLetters   int64 // messages by PID to channels, not gone yet, that reached nobody

	BytesWaiting     int64 // in all channels, of Config.BudgetBytes
	CompressionBytes int64 // reserved by the channels there are, of Config.CompressionBytes
}

const (
	causes   = int(supervisor.CauseNodeLost) + 1
	outcomes = int(mailbox.Failed) + 1
)

// stats are the counters behind Stats: atomics, shared by all.
type stats struct {
	opened, closed        atomic.Int64
	received              atomic.Int64
	failed, stuck, refuse atomic.Int64
	dead                  atomic.Int64
	causes                [causes]atomic.Int64
	sends                 [outcomes]atomic.Int64
}

// count is the hook that counts events.
func (s *stats) count(e supervisor.Event) {
	switch e := e.(type) {
	case supervisor.Opened:
		s.opened.Add(1)
	case supervisor.Closed:
		s.closed.Add(1)
		if int(e.Cause) < causes {
			s.causes[e.Cause].Add(1)
		}
	case supervisor.HandlerFailed:
		s.failed.Add(1)
	case supervisor.HandlerStuck:
		s.stuck.Add(1)
	case supervisor.Refused:
		s.refuse.Add(1)
	}
}

// Stats is what was counted up to now.
func (rt *Runtime) Stats() Stats {
	s := &rt.stats
	st := Stats{
		Opened:        s.opened.Load(),
		Closed:        s.closed.Load(),
		Causes:        make(map[supervisor.Cause]int64),
		Received:      s.received.Load(),
		Sends:         make(map[Outcome]int64),
		HandlerFailed: s.failed.Load(),
		HandlerStuck:  s.stuck.Load(),
		Abandoned:     rt.disp.Fenced(),
		Refused:       s.refuse.Load(),
		DeadLetters:   s.dead.Load(),
		BytesWaiting:  rt.budget.Used(),

		CompressionBytes: rt.contexts.Used(),
	}
	for i := range s.causes {
		if n := s.causes[i].Load(); n > 0 {
			st.Causes[supervisor.Cause(i)] = n
		}
	}
	for i := range s.sends {
		if n := s.sends[i].Load(); n > 0 {
			st.Sends[Outcome(i)] = n
		}
	}
	return st
}
