package troupe_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// subject is one channel with its peer, and what the model knows of them.
type subject struct {
	w    *world
	uid  string
	peer *transporttest.Peer

	// Owned by the goroutine of the test.
	framing transport.Framing
	stream  bool // no WebSocket: the peer cannot say anything
	served  bool // it came by a request
	asked   int  // messages the peer has sent
	told    int  // messages sent by PID
	sender  int  // sends of the test
	dead    bool

	mu        sync.Mutex // guards what follows
	reading   sync.Cond
	c         *actors.Channel
	refusal   error               // of the request
	deflater  *transporttest.Peer // nil: no compression
	rng       *rand.Rand
	openPlan  []string // what Open does, one for each time
	closePlan string
	lifePlan  string // when a props actor fails, if one does
	may       map[supervisor.Cause]bool

	call      int // the call that runs; 0: none
	calls     int
	epoch     int // how many calls were abandoned
	began     int // Opens
	isOpen    bool
	closes    int
	spawned   bool   // a child may keep it from restarting
	lifeStuck bool   // in what protoactor tells an actor
	events    [2]int // opened, closed
	cause     supervisor.Cause
	messages  int // of the peer, handled
	lastTold  int
	sent      int           // by the handler
	pushed    chan struct{} // closed when the peer has written what it was told last
	paused    bool
	mute      bool
	deaf      bool      // does not answer a close
	left      time.Time // when a callback last ended

	sends     []*parcel
	parcels   map[string]*parcel // the same, by sender and number
	written   map[string]int     // the last of each sender that was told Written
	readers   []*modelReader
	hanging   int       // sources that wait for something
	touches   int       // how often something was sent, accepted or not
	begun     time.Time // until then something that was accepted is in the way of a Response
	responded time.Time // a Response is
	sealed    bool      // a ThenClose was accepted
	bodyless  bool      // the response may have no body
	ends      []*finale

	partly    string // what has arrived of a text
	pieces    int    // in so many messages
	heard     int    // texts
	delivered map[string]int
	final     *parcel                   // the one ThenClose that arrived
	goodbye   *transporttest.CloseError // the server's close frame
	readAll   bool                      // to the end that the server made
}

func (s *subject) fault(format string, args ...any) {
	s.w.Helper()
	s.w.Errorf("%s: %s", s.uid, fmt.Sprintf(format, args...))
}

// call is one callback that runs.
type call struct {
	s     *subject
	n     int
	epoch int           // it is out of date when the call was abandoned
	ctx   actor.Context // of a props actor
}

// enter notes that a callback begins.
func (s *subject) enter(kind string) call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.call != 0 {
		s.fault("%s overlaps another callback", kind)
	}
	if s.closes > 0 {
		s.fault("%s after close", kind)
	}
	// What was sent to a channel that never opens has its outcome all the same.
	never := kind == "completion" && s.c != nil && !s.c.IsOpen()
	if !s.isOpen && kind != "open" && kind != "close" && !never {
		s.fault("%s before open", kind)
	}
	switch kind {
	case "open":
		if s.isOpen {
			s.fault("open again")
		}
		s.began++
	case "close":
		if s.began == 0 {
			s.fault("close without open")
		}
		s.closes++
	}
	s.calls++
	s.call = s.calls
	return call{s: s, n: s.call, epoch: s.epoch}
}

func (k call) leave() {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if k.s.call == k.n {
		k.s.call = 0
		k.s.left = time.Now()
	}
}

func (s *subject) abandoned() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.call, s.lifeStuck, s.left = 0, false, time.Now()
	s.epoch++
}

func (s *subject) opened(supervisor.Opened) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events[0]++
}

func (s *subject) closed(e supervisor.Closed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events[1]++
	s.cause = e.Cause
	if want := e.Cause.CloseCode(); e.Cause == supervisor.CauseTransportError && !s.stream && e.Code != want {
		s.fault("%v with code %d", e.Cause, e.Code)
	}
}

// expect notes a cause that what was just done may have.
func (s *subject) expect(causes ...supervisor.Cause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.may == nil {
		s.may = map[supervisor.Cause]bool{}
	}
	for _, cause := range causes {
		s.may[cause] = true
	}
}

func (s *subject) channel() *actors.Channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c
}

// checkStopped is what must hold as soon as the runtime has stopped.
func (s *subject) checkStopped() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c == nil {
		return // refused, or gone before it was answered
	}
	select {
	case <-s.c.Done():
	default:
		s.fault("the runtime has stopped and the channel is not done")
	}
	want := min(s.began, 1)
	if s.events != [2]int{want, want} {
		s.fault("events: %d opened, %d closed, open began %d times", s.events[0], s.events[1], s.began)
	}
	if s.closes != want {
		s.fault("close ran %d times, open began %d times; %v", s.closes, s.began, s.cause)
	}
	swept := s.cause == supervisor.CauseOverBudget && s.w.cfg.BudgetBytes > 0
	if want == 1 && !s.may[s.cause] && !swept && s.cause != supervisor.CauseRuntimeStopped && s.cause != supervisor.CauseDrained {
		s.fault("ended by %v, which nobody did", s.cause)
	}
	s.checkSends()
	s.checkReaders()
}

// checkEnded is what must hold when also the abandoned have ended.
func (s *subject) checkEnded() {
	if s.channel() == nil {
		return
	}
	s.mu.Lock()
	want := min(s.began, 1)
	s.checkSends()
	s.checkReaders()
	s.checkArrivals()
	if s.goodbye != nil && s.cause == supervisor.CauseTransportError && s.goodbye.Code != supervisor.CodeInternalError {
		s.fault("%v and the peer was told %v", s.cause, s.goodbye)
	}
	for _, f := range s.ends {
		if f.runs != 1 {
			s.fault("a function of OnClose (%q) ran %d times", f.what, f.runs)
		}
	}
	if s.closes != want {
		s.fault("in the end close ran %d times", s.closes)
	}
	s.mu.Unlock()
	if n := s.w.watcher.count(s.c.ID()); n != 1 {
		s.fault("terminated was told %d times", n)
	}
	if messages, bytes := s.c.Waiting(); messages != 0 || bytes != 0 {
		s.fault("%d messages of %d bytes still wait", messages, bytes)
	}
}
