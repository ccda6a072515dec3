package actors

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/troupe-actors/troupe/supervisor"
)

// acceptor is the listener of a server. What the system cannot do at the moment,
// for want of descriptors or memory, it waits out, and tells: clients wait in the
// listener's queue meanwhile, and the channels there are go on. net/http alone would
// wait for descriptors, but give up the listener for want of memory.
type acceptor struct {
	net.Listener
	event supervisor.Hook

	once   sync.Once
	closed chan struct{}

	mu       sync.Mutex // guards what follows
	failures int        // of the present trouble; 0: there is none
	first    time.Time  // of these
	last     time.Time
	paused   bool      // the trouble was told
	told     time.Time // when any was told last
	calm     *time.Timer
	turn     int // a timer of an earlier one means nothing any more
}

const (
	acceptRetry = 5 * time.Millisecond // and twice as long each time, up to
	acceptPause = time.Second
	acceptCalm  = 2 * time.Second  // without a failure, and the trouble is over
	acceptTell  = 10 * time.Second // between reports of trouble
)

func newAcceptor(l net.Listener, event supervisor.Hook) *acceptor {
	return &acceptor{Listener: l, event: event, closed: make(chan struct{})}
}

// Accept is called by one goroutine.
func (a *acceptor) Accept() (net.Conn, error) {
	for wait := acceptRetry; ; wait = min(2*wait, acceptPause) {
		c, err := a.Listener.Accept()
		if err == nil || !temporary(err) {
			return c, err
		}
		a.failed(err)
		select {
		case <-time.After(wait):
		case <-a.closed:
			return nil, net.ErrClosed
		}
		a.tries()
	}
}

// Close ends an Accept that waits, too.
func (a *acceptor) Close() error {
	a.once.Do(func() {
		close(a.closed)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.disarm()
	})
	return a.Listener.Close()
}

// failed counts a failure, and tells of the first and now and then of another.
func (a *acceptor) failed(err error) {
	a.mu.Lock()
	a.disarm()
	now := time.Now()
	if a.failures++; a.failures == 1 {
		a.first = now
	}
	a.last = now
	tell := a.told.IsZero() || now.Sub(a.told) >= acceptTell
	if tell {
		a.paused, a.told = true, now
	}
	e := supervisor.AcceptPaused{Address: a.Addr().String(), Err: err, Failures: a.failures}
	a.mu.Unlock()
	if tell {
		a.event(e)
	}
}

// tries begins to wait for the end of the trouble: an Accept that finds nobody
// waiting does not return, and has not failed either.
func (a *acceptor) tries() {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.closed: // nobody waits for news any more
		return
	default:
	}
	turn := a.turn
	a.calm = time.AfterFunc(acceptCalm, func() { a.over(turn) })
}

func (a *acceptor) disarm() {
	a.turn++
	if a.calm != nil {
		a.calm.Stop()
		a.calm = nil
	}
}

// over ends the trouble, unless it has begun anew meanwhile.
func (a *acceptor) over(turn int) {
	a.mu.Lock()
	if turn != a.turn {
		a.mu.Unlock()
		return
	}
	e := supervisor.AcceptResumed{
		Address:  a.Addr().String(),
		After:    a.last.Sub(a.first),
		Failures: a.failures,
	}
	tell := a.paused
	a.paused, a.failures = false, 0
	a.mu.Unlock()
	if tell {
		a.event(e)
	}
}

// temporary tells whether an Accept that failed may succeed later: the process or the
// system has no descriptor or memory left, or the connection was lost while it
// waited (Linux reports errors of the new connection so, see accept(2)).
func temporary(err error) bool {
	for _, e := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPROTO, syscall.ENOPROTOOPT,
		syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
