package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/troupe-actors/troupe/supervisor"
)

// DefaultQueueMessages is how many messages wait in a [Queue] by default.
const DefaultQueueMessages = 10

// QueueConfig is a queue's. The zero QueueConfig is safe.
type QueueConfig struct {
	// Messages is how many may wait, not counting the one that is being sent.
	// Default 10.
	Messages int

	// Overflow is what Put does when so many wait. Default: it waits for room.
	// DropOldest gives up the message that waits longest, DropNewest the one that
	// is put. No other policy is a choice.
	Overflow Policy
}

func (cfg QueueConfig) check() error {
	if cfg.Messages < 1 {
		return &ConfigError{"QueueConfig.Messages", cfg.Messages, "1 or more, or 0 for the default"}
	}
	if p := cfg.Overflow; !p.IsZero() && p != DropOldest && p != DropNewest {
		return &ConfigError{"QueueConfig.Overflow", p, "drop-oldest, drop-newest, or none: then Put waits"}
	}
	return nil
}

// Queue sends to a channel one message at a time: the next is handed to
// [Channel.Send] when the one before has been written or has failed. So whoever
// puts messages is slowed down to the speed at which the peer reads, and hears
// what became of each. It has no goroutine of its own. It may be kept with
// [Channel.Set]. Its methods may be called from any goroutine; other sends to
// the channel go their own way.
//
//	Put ──► waiting ──► being sent ──► outcome ──► result
//	           ▲                          │
//	           └───────── next ───────────┘
type Queue struct {
	// Immutable.
	c        *Channel
	messages int
	overflow Policy

	mu      sync.Mutex // guards what follows
	waiting []*queued  // of those after the first messages, Put still waits
	sending *queued    // handed to Send, without a result yet
	busy    bool       // somebody is in advance, or an outcome will call it
	closed  bool       // takes no more
}

// queued is a message with whom to tell what became of it.
type queued struct {
	v        any
	result   chan<- error
	admitted chan error // has room for one; nil if Put did not wait
}

// NewQueue makes a queue in front of a channel. A value that cfg must not have is
// a *[ConfigError]. A channel may have several; each lasts as long as it does.
func NewQueue(c *Channel, cfg QueueConfig) (*Queue, error) {
	cfg.Messages = pick(cfg.Messages, DefaultQueueMessages)
	if err := cfg.check(); err != nil {
		return nil, err
	}
	q := &Queue{c: c, messages: cfg.Messages, overflow: cfg.Overflow}
	c.OnClose(func(Closed) { q.stop() })
	return q, nil
}

// Put queues v, which is anything that Send takes, and gives up ownership of it
// in every case. While the queue is full it waits, until ctx is done, or does
// what QueueConfig.Overflow says. Puts that wait are served in their order.
//
// If Put returns nil, result gets exactly one value, unless it is nil: nil when
// the message has been written, ErrClosed when the channel closed before, else
// the error: ErrDropped, an error of Send, which is tried under [Reject], or that
// of its outcome. Nothing waits for whoever is to receive it: result should have
// room for all that can come. If it is closed, or has no room at that moment, the
// value is logged in its place.
//
// If Put returns an error, that is what became of v, and result gets nothing:
// ErrClosed when the queue or the channel is closed, also while Put waits;
// ErrDropped under DropNewest; ErrSelfBlock where one of the channel's own
// callbacks would have to wait; or ctx.Err().
func (q *Queue) Put(ctx context.Context, v any, result chan<- error) error {
	m := &queued{v: keep(v), result: result}
	q.mu.Lock()
	full := len(q.waiting) >= q.messages
	switch {
	case q.closed || !q.c.IsOpen():
		q.mu.Unlock()
		return q.refuse(m, NotOpen, ErrClosed)
	case full && q.overflow == DropNewest:
		q.mu.Unlock()
		return q.refuse(m, Dropped, ErrDropped)
	case full && q.overflow == DropOldest:
		oldest := q.popLocked()
		q.waiting = append(q.waiting, m)
		q.mu.Unlock()
		q.giveUp(Dropped, ErrDropped, oldest)
		return nil
	case full && q.c.box.Here():
		q.mu.Unlock()
		return q.refuse(m, Rejected, ErrSelfBlock)
	case full:
		m.admitted = make(chan error, 1)
		q.waiting = append(q.waiting, m)
		q.mu.Unlock()
		return q.await(ctx, m)
	}
	q.waiting = append(q.waiting, m)
	idle := !q.busy
	q.busy = true
	q.mu.Unlock()
	if idle {
		q.advance()
	}
	return nil
}

// await waits until m has a place, or will not have one.
func (q *Queue) await(ctx context.Context, m *queued) error {
	var err error
	select {
	case err = <-m.admitted:
	case <-ctx.Done():
		if q.withdraw(m) {
			return q.refuse(m, Rejected, ctx.Err())
		}
		err = <-m.admitted // it came first
	}
	if err != nil {
		return q.refuse(m, NotOpen, err)
	}
	return nil
}

// withdraw takes back a message that has no place yet.
func (q *Queue) withdraw(m *queued) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, m)
	if i < q.messages {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}

// popLocked removes the oldest message; that of the Put that has waited longest
// gets a place.
func (q *Queue) popLocked() *queued {
	m := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	if len(q.waiting) >= q.messages {
		q.waiting[q.messages-1].admitted <- nil
	}
	return m
}

// closeLocked takes no more, and turns those away whose Put waits.
func (q *Queue) closeLocked() {
	q.closed = true
	if len(q.waiting) > q.messages {
		for _, m := range q.waiting[q.messages:] {
			m.admitted <- ErrClosed
		}
		clear(q.waiting[q.messages:])
		q.waiting = q.waiting[:q.messages]
	}
}

// Close takes no more messages, sends those that wait, and closes the channel
// then, as [Channel.Close] does. It waits for none of that. It may be called
// again.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closeLocked()
	idle := !q.busy
	q.mu.Unlock()
	if idle {
		q.c.Close()
	}
}

// advance sends the next message. At most one goroutine is in here: the one that
// made the queue busy, or on which the channel tells an outcome.
func (q *Queue) advance() {
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.waiting, q.busy = nil, false
			closed := q.closed
			q.mu.Unlock()
			if closed {
				q.c.Close()
			}
			return
		}
		m := q.popLocked()
		q.sending = m
		q.mu.Unlock()
		if err := q.send(m); err == nil || !q.sent(m, err, err == ErrClosed) {
			return // the outcome goes on, perhaps it has already; or it is the end
		}
	}
}

// send is Send. A panic of the value's own code is an error of this message.
func (q *Queue) send(m *queued) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("actors: sending a %T: panic: %v", m.v, reason)
		}
	}()
	return q.c.Send(m.v, WithPolicy(Reject), OnOutcome(func(o Outcome, err error) {
		if q.sent(m, err, o == NotOpen) {
			q.advance()
		}
	}))
}

// sent tells what became of the message that was being sent, and reports whether
// the queue goes on: not if the channel has closed.
func (q *Queue) sent(m *queued, err error, closed bool) bool {
	q.mu.Lock()
	mine := q.sending == m
	if mine {
		q.sending = nil
	}
	q.mu.Unlock()
	if mine {
		q.answer(m, err)
	}
	if closed {
		q.stop()
		return false
	}
	return true
}

// stop gives all that has no result yet ErrClosed: the channel takes no more.
// What was being sent is answered here only if the channel ended without telling
// its outcome.
func (q *Queue) stop() {
	q.mu.Lock()
	q.closeLocked()
	left, sending := q.waiting, q.sending
	q.waiting, q.sending = nil, nil
	q.mu.Unlock()
	if sending != nil {
		q.answer(sending, ErrClosed) // Send has its value, and has counted it
	}
	q.giveUp(NotOpen, ErrClosed, left...)
}

// refuse is the outcome of a message that Put did not take.
func (q *Queue) refuse(m *queued, o Outcome, err error) error {
	q.c.lost(o, 1)
	q.c.discardValue(m.v)
	return err
}

// giveUp is the outcome of messages that waited. All are answered before code of
// theirs runs.
func (q *Queue) giveUp(o Outcome, err error, given ...*queued) {
	for _, m := range given {
		q.c.lost(o, 1)
		q.answer(m, err)
	}
	for _, m := range given {
		q.c.discardValue(m.v)
	}
}

// answer tells whoever wants to know, and waits for nobody.
func (q *Queue) answer(m *queued, err error) {
	log := q.c.ep.rt.log
	switch {
	case m.result != nil:
		if problem := deliver(m.result, err); problem != "" {
			log.Warn("a queue's result was not delivered", "id", q.c.ID(), "problem", problem, supervisor.Text("result", err))
		}
	case err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrDropped):
		log.Warn("a queued message was not sent", "id", q.c.ID(), supervisor.Text("err", err))
	}
}

func deliver(result chan<- error, err error) (problem string) {
	defer func() {
		if recover() != nil {
			problem = "the receiver is closed"
		}
	}()
	select {
	case result <- err:
		return ""
	default:
		return "the receiver has no room"
	}
}
