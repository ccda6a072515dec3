package troupe_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// subject is one channel with its peer, and what the model knows of them.
type subject struct {
	w    *world
	uid  string
	peer *transporttest.Peer

	// Owned by the goroutine of the test.
	stream   bool // no WebSocket: the peer cannot say anything
	refused  bool
	asked    int // messages the peer has sent
	told     int // messages sent by PID
	sender   int // sends of the test
	dead     bool
	outcomes []*outcome

	mu        sync.Mutex // guards what follows
	reading   sync.Cond
	c         *actors.Channel
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
	deaf      bool // does not answer a close
	delivered map[string]int
}

// outcome is what became of one send.
type outcome struct {
	what string
	err  error
	done int // how often its OnOutcome ran; guarded by the subject's mu
	asks bool
	back bool // the send has returned
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
	}
}

func (s *subject) abandoned() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.call, s.lifeStuck = 0, false
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

// send sends one message whose arrival can be told, and counts its outcome.
func (s *subject) send(c *actors.Channel, from string, n, size int, ask bool, then func(call), options ...actors.SendOption) {
	o := &outcome{what: fmt.Sprintf("%s %d", from, n), asks: ask}
	s.mu.Lock()
	s.outcomes = append(s.outcomes, o)
	s.mu.Unlock()
	if ask {
		options = append(options, actors.OnOutcome(func(actors.Outcome, error) {
			k := s.enter("completion")
			defer k.leave()
			s.mu.Lock()
			o.done++
			s.mu.Unlock()
			if then != nil {
				then(k)
			}
		}))
	}
	err := c.Send(text(from, n, size), options...)
	s.mu.Lock()
	o.err, o.back = err, true
	s.mu.Unlock()
}

func text(from string, n, size int) string {
	return fmt.Sprintf("%s|%d|%s", from, n, strings.Repeat(".", size))
}

var sentText = regexp.MustCompile(`([a-z][a-z0-9/-]*)\|([0-9]+)\|`)

// read plays the peer's reading half until the connection ends.
func (s *subject) read() {
	var stream []byte
	for {
		s.mu.Lock()
		for s.paused {
			s.reading.Wait()
		}
		s.mu.Unlock()
		if s.stream {
			b := make([]byte, 100)
			n, err := s.peer.Conn().Read(b)
			stream = append(stream, b[:n]...)
			if err != nil {
				s.arrived(string(stream))
				return
			}
			continue
		}
		f, err := s.peer.ReadFrame(context.Background())
		if err != nil {
			return
		}
		s.mu.Lock()
		mute, deaf := s.mute, s.deaf
		s.mu.Unlock()
		switch f.Header.OpCode {
		case ws.OpPing:
			if !mute {
				s.write(ws.NewPongFrame(f.Payload))
			}
		case ws.OpClose:
			if !deaf {
				s.write(ws.NewCloseFrame(f.Payload))
			}
		case ws.OpText, ws.OpBinary:
			if !s.arrived(string(f.Payload)) {
				s.fault("the peer got %q", f.Payload)
			}
		}
	}
}

// write has a frame follow what was written before. It does not wait: nobody
// may hold the lock of a peer while virtual time is to pass.
func (s *subject) write(f ws.Frame) { s.push(transporttest.Encode(f)) }

func (s *subject) push(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, done := s.pushed, make(chan struct{})
	s.pushed = done
	s.w.tasks.Go(func() {
		defer close(done)
		if before != nil {
			<-before
		}
		_ = s.peer.WriteRaw(b) // the server may be gone
	})
}

// arrived checks the order of what one sender sent.
func (s *subject) arrived(all string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.delivered == nil {
		s.delivered = map[string]int{}
	}
	found := sentText.FindAllStringSubmatch(all, -1)
	for _, parts := range found {
		n, _ := strconv.Atoi(parts[2])
		if last := s.delivered[parts[1]]; n <= last {
			s.fault("the peer got %s %d after %d", parts[1], n, last)
		}
		s.delivered[parts[1]] = n
	}
	return len(found) > 0
}

func (s *subject) pause(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = paused
	s.reading.Broadcast()
}

// checkStopped is what must hold as soon as the runtime has stopped.
func (s *subject) checkStopped() {
	if s.refused {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
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
	if want == 1 && !s.may[s.cause] && s.cause != supervisor.CauseRuntimeStopped && s.cause != supervisor.CauseDrained {
		s.fault("ended by %v, which nobody did", s.cause)
	}
	s.checkOutcomes()
}

// checkOutcomes is called with mu held.
func (s *subject) checkOutcomes() {
	for _, o := range s.outcomes {
		switch {
		case !o.back:
		case o.err == nil && o.asks && o.done != 1:
			s.fault("%s was accepted and has %d outcomes; %v", o.what, o.done, s.cause)
		case o.err != nil && o.done != 0:
			s.fault("%s was refused by %v and has %d outcomes", o.what, o.err, o.done)
		case o.err != nil && !slices.ContainsFunc(sendErrors, func(want error) bool { return errors.Is(o.err, want) }):
			s.fault("%s: %v", o.what, o.err)
		}
	}
}

var sendErrors = []error{
	actors.ErrClosed, actors.ErrFull, actors.ErrBudget, actors.ErrDropped, actors.ErrOverflow, mailbox.ErrSelfBlock,
	context.Canceled, context.DeadlineExceeded,
}

// checkEnded is what must hold when also the abandoned have ended.
func (s *subject) checkEnded() {
	if s.refused {
		return
	}
	s.mu.Lock()
	want := min(s.began, 1)
	s.checkOutcomes()
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
