package actors_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// queueBench is a channel in memory, on virtual time, with a queue in front of it.
type queueBench struct {
	*testing.T
	rt   *actors.Runtime
	c    *actors.Channel
	q    *actors.Queue
	peer *transporttest.Peer
	logs logLines
}

// logLines is what was logged, as text.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), part)
}

// slow is a pipe that holds less than one of big's messages.
const slow = 16

func big(name string) string { return name + strings.Repeat(".", 100) }

// onQueue runs a test in a bubble. The peer reads only when the test does.
func onQueue(t *testing.T, cfg actors.QueueConfig, opts actors.Options, cb actors.Callbacks, test func(b *queueBench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &queueBench{T: t}
		if opts.WriteTimeout == 0 {
			opts.WriteTimeout = 24 * time.Hour
		}
		opts.PingInterval = -1
		rt, err := actors.Start(actors.Config{
			Options: opts, Driver: actors.DriverGoroutine, Logger: slog.New(slog.NewTextHandler(&b.logs, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		b.rt = rt
		link, peer := transporttest.Pair(&transport.Config{}, slow)
		b.peer = peer
		if b.c, err = rt.Handler(cb).Open(link, nil, ""); err != nil {
			t.Fatal(err)
		}
		if b.q, err = actors.NewQueue(b.c, cfg); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		test(b)
		peer.Disconnect()
		if err := rt.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour) // what protoactor starts for its logs ends by itself
	})
}

// put puts a message that must be taken, and returns its receiver.
func (b *queueBench) put(v any) chan error {
	b.Helper()
	result := make(chan error, 2) // a second one would be seen
	if err := b.q.Put(b.Context(), v, result); err != nil {
		b.Fatalf("Put: %v", err)
	}
	return result
}

// waitingPut is a Put on a goroutine of its own, which has come to wait when it
// returns.
func (b *queueBench) waitingPut(ctx context.Context, v any, result chan<- error) (end chan error) {
	end = make(chan error, 1)
	go func() { end <- b.q.Put(ctx, v, result) }()
	synctest.Wait()
	if len(end) != 0 {
		b.Errorf("Put(%.5v) did not wait: %v", v, <-end)
	}
	return end
}

// reads checks what comes next, by its beginning.
func (b *queueBench) reads(want ...string) {
	b.Helper()
	for _, w := range want {
		_, got, err := b.peer.ReadMessage(b.Context())
		if err != nil || !strings.HasPrefix(string(got), w) {
			b.Fatalf("the peer read %.20q, %v; want %q", got, err, w)
		}
	}
	synctest.Wait()
}

// readsClose checks that nothing but a close frame comes next.
func (b *queueBench) readsClose(code uint16) {
	b.Helper()
	_, got, err := b.peer.ReadMessage(b.Context())
	var end *transporttest.CloseError
	if !errors.As(err, &end) || end.Code != code {
		b.Errorf("the peer read %.20q, %v; want a close frame with %d", got, err, code)
	}
}

// one checks that a receiver got one result.
func (b *queueBench) one(what string, result chan error, want error) {
	b.Helper()
	synctest.Wait()
	if len(result) != 1 {
		b.Errorf("%s: %d results, want 1", what, len(result))
		return
	}
	if got := <-result; !errors.Is(got, want) {
		b.Errorf("%s: result %v, want %v", what, got, want)
	}
}

// none checks that a receiver got nothing yet.
func (b *queueBench) none(what string, result chan error) {
	b.Helper()
	synctest.Wait()
	if len(result) != 0 {
		b.Errorf("%s: result %v too early", what, <-result)
	}
}

// fills puts one message that stays on its way, and n that wait behind it.
func (b *queueBench) fills(n int) (results []chan error) {
	b.Helper()
	for i := range n + 1 {
		results = append(results, b.put(big(fmt.Sprint(i))))
	}
	synctest.Wait()
	return results
}

type closeable struct {
	io.Reader
	closed *atomic.Int32
}

func (c closeable) Close() error { c.closed.Add(1); return nil }

// coded is a value whose own code runs while it is sent.
type coded func() (any, error)

func (c coded) EncodeMessage() (any, error) { return c() }

// roomAtLast is a context that is done, and lets the queue have room just before.
type roomAtLast struct {
	context.Context
	first func()
}

func (c roomAtLast) Done() <-chan struct{} {
	c.first()
	return c.Context.Done()
}

func TestQueue(t *testing.T) {
	zero, none := actors.QueueConfig{}, actors.Callbacks{}
	plain := actors.Options{}

	t.Run("131 ten wait by default", func(t *testing.T) {
		onQueue(t, zero, plain, none, func(b *queueBench) {
			b.fills(10)
			b.waitingPut(b.Context(), "10", nil)
		})
	})
	t.Run("131 or as many as are asked for", func(t *testing.T) {
		onQueue(t, actors.QueueConfig{Messages: 2}, plain, none, func(b *queueBench) {
			b.fills(2)
			b.waitingPut(b.Context(), "3", nil)
		})
	})
	t.Run("131 drop-oldest gives up the one that waits longest", func(t *testing.T) {
		onQueue(t, actors.QueueConfig{Messages: 2, Overflow: actors.DropOldest}, plain, none, func(b *queueBench) {
			r := append(b.fills(2), b.put(big("3")))
			b.one("1", r[1], actors.ErrDropped)
			b.reads("0", "2", "3")
			for _, i := range []int{0, 2, 3} {
				b.one(fmt.Sprint(i), r[i], nil)
			}
			if n := b.rt.Stats().Sends[actors.Dropped]; n != 1 {
				b.Errorf("counted %d as dropped, want 1", n)
			}
		})
	})
	t.Run("131 drop-newest gives up the one that is put", func(t *testing.T) {
		onQueue(t, actors.QueueConfig{Messages: 2, Overflow: actors.DropNewest}, plain, none, func(b *queueBench) {
			b.fills(2)
			result := make(chan error, 1)
			if err := b.q.Put(b.Context(), "3", result); !errors.Is(err, actors.ErrDropped) {
				b.Errorf("Put: %v, want ErrDropped", err)
			}
			b.none("3", result)
			b.reads("0", "1", "2")
		})
	})
	t.Run("131 other sizes and policies are configuration errors", func(t *testing.T) {
		onQueue(t, zero, plain, none, func(b *queueBench) {
			for field, cfg := range map[string]actors.QueueConfig{
				"QueueConfig.Messages is -1":     {Messages: -1},
				"QueueConfig.Overflow is reject": {Overflow: actors.Reject},
				"QueueConfig.Overflow is close":  {Overflow: actors.CloseSlow},
			} {
				_, err := actors.NewQueue(b.c, cfg)
				var bad *actors.ConfigError
				if !errors.As(err, &bad) || !strings.Contains(err.Error(), field) {
					b.Errorf("NewQueue(%+v): %v; want a ConfigError with %q", cfg, err, field)
				}
			}
		})
	})

	t.Run("132 Put waits for room, those that wait are served in order", func(t *testing.T) {
		onQueue(t, actors.QueueConfig{Messages: 1}, plain, none, func(b *queueBench) {
			b.fills(1)
			second := b.waitingPut(b.Context(), big("2"), nil)
			third := b.waitingPut(b.Context(), big("3"), nil)
			b.reads("0")
			if len(second) != 1 || len(third) != 0 {
				b.Fatalf("%d and %d Puts have returned, want the first only", len(second), len(third))
			}
			b.reads("1", "2", "3")
			if err := errors.Join(<-second, <-third); err != nil {
				b.Error(err)
			}
		})
	})
	t.Run("132 until its context is done, then it was not put", func(t *testing.T) {
		onQueue(t, actors.QueueConfig{Messages: 1}, plain, none, func(b *queueBench) {
			b.fills(1)
			ctx, cancel := context.WithCancel(b.Context())
			result, closed := make(chan error, 1), new(atomic.Int32)
			given := b.waitingPut(ctx, closeable{strings.NewReader("2"), closed}, result)
			other := b.waitingPut(b.Context(), "3", nil)
			cancel()
			if err := <-given; !errors.Is(err, context.Canceled) {
				b.Errorf("Put: %v, want that it was cancelled", err)
			}
			b.reads("0", "1", "3")
			b.none("2", result)
			if err := <-other; err != nil || closed.Load() != 1 {
				b.Errorf("the other Put: %v; closed the reader %d times", err, closed.Load())
			}
		})
	})

	t.Run("132 a Put whose room and context come together was put", func(t *testing.T) {
		onQueue(t, actors.QueueConfig{Messages: 1}, plain, none, func(b *queueBench) {
			done, cancel := context.WithCancel(b.Context())
			cancel()
			b.fills(1)
			for i := range 20 { // the two are chosen from by chance
				result := make(chan error, 1)
				ctx := roomAtLast{done, func() { b.reads(fmt.Sprint(i)) }}
				if err := b.q.Put(ctx, big(fmt.Sprint(i+2)), result); err != nil {
					b.Fatalf("Put: %v", err)
				}
				b.none("put", result)
			}
			b.reads("20", "21")
		})
	})

	t.Run("133 the next is sent when the one before has been written", func(t *testing.T) {
		onQueue(t, zero, plain, none, func(b *queueBench) {
			b.fills(3)
			for _, name := range []string{"0", "1", "2", "3"} {
				if n, _ := b.c.Waiting(); n != 1 {
					b.Errorf("before %s: the channel has %d messages, want 1", name, n)
				}
				b.reads(name)
			}
			if n, _ := b.c.Waiting(); n != 0 {
				b.Errorf("%d messages are left", n)
			}
		})
	})
	t.Run("134 with a receiver or without", func(t *testing.T) {
		onQueue(t, zero, plain, none, func(b *queueBench) {
			if err := b.q.Put(b.Context(), "without", nil); err != nil {
				b.Fatal(err)
			}
			with := b.put(actors.Binary([]byte("with")))
			b.reads("without", "with")
			b.one("with", with, nil)
		})
	})

	t.Run("135 a receiver gets one of nil, ErrClosed or the error", func(t *testing.T) {
		onQueue(t, zero, plain, none, func(b *queueBench) {
			bad := b.put(struct{}{})
			b.one("bad", bad, actors.ErrType)
			r := b.fills(2)
			b.none("unread", r[0])
			b.reads("0")
			b.one("written", r[0], nil)
			b.peer.Reset()
			<-b.c.Done()
			b.one("on its way", r[1], actors.ErrClosed)
			b.one("waiting", r[2], actors.ErrClosed)
			for _, each := range append(r, bad) {
				b.none("a second one", each)
			}
		})
	})
	t.Run("135 also if the channel ends without telling the outcome", func(t *testing.T) {
		onQueue(t, zero, actors.Options{HandlerDeadline: time.Second}, none, func(b *queueBench) {
			release := make(chan struct{})
			for range 4 { // one more than may hang
				hang := actors.OnOutcome(func(actors.Outcome, error) { <-release })
				if err := b.c.Send(big("x"), hang); err != nil {
					b.Fatal(err)
				}
			}
			r := b.fills(10)
			put := b.waitingPut(context.Background(), "11", nil)
			b.peer.Reset()
			if err := <-put; !errors.Is(err, actors.ErrClosed) {
				b.Errorf("the Put that waited: %v", err)
			}
			for i, each := range r {
				b.one(fmt.Sprint(i), each, actors.ErrClosed)
			}
			close(release)
		})
	})

	t.Run("135 also if it ends while the message is being handed to Send", func(t *testing.T) {
		onQueue(t, zero, plain, none, func(b *queueBench) {
			r := b.put(coded(func() (any, error) {
				b.peer.Reset()
				<-b.c.Done()
				return "too late", nil
			}))
			b.one("put", r, actors.ErrClosed)
		})
	})

	t.Run("136 an error does not stop the queue", func(t *testing.T) {
		onQueue(t, zero, plain, none, func(b *queueBench) {
			first := b.put(big("0"))
			bad := []chan error{b.put("\xff"), b.put(struct{}{}), b.put(coded(func() (any, error) { panic("no such luck") })), b.put(actors.Event{Data: []byte("\xff")})}
			if err := b.q.Put(b.Context(), 5, nil); err != nil {
				b.Error(err)
			}
			last := b.put("last")
			b.reads("0", "last")
			b.one("first", first, nil)
			b.one("not UTF-8", bad[0], actors.ErrNotUTF8)
			b.one("an event not UTF-8", bad[3], actors.ErrNotUTF8)
			b.one("no message", bad[1], actors.ErrType)
			if len(bad[2]) != 1 || <-bad[2] == nil {
				b.Error("no error for a value that panics")
			}
			b.one("last", last, nil)
			if b.logs.count("a queued message was not sent") != 1 {
				b.Errorf("an error without a receiver was not logged: %s", b.logs.b.String())
			}
		})
	})
	t.Run("136 nor does a mailbox that others have filled", func(t *testing.T) {
		opts := actors.Options{MailboxMessages: 1, Overflow: actors.DropOldest}
		onQueue(t, zero, opts, none, func(b *queueBench) {
			if err := b.c.Send(big("other")); err != nil {
				b.Fatal(err)
			}
			b.one("no room", b.put("0"), actors.ErrFull)
			b.reads("other")
			b.one("room", b.put("1"), nil)
			b.reads("1")
		})
	})

	for name, end := range map[string]func(*queueBench){
		"the peer is gone":           func(b *queueBench) { b.peer.Reset() },
		"the channel was closed":     func(b *queueBench) { b.c.Close(); b.peer.Reset() },
		"its actor was stopped":      func(b *queueBench) { b.rt.System().Root.Stop(b.c.PID()) },
		"the peer takes nothing":     func(b *queueBench) { b.c.Close() },
		"the runtime was cut off":    func(b *queueBench) { ctx, no := context.WithCancel(b.Context()); no(); b.rt.Drain(ctx) },
		"the queue was closing":      func(b *queueBench) { b.q.Close(); b.peer.Reset() },
		"the peer closed, in order":  func(b *queueBench) { b.peer.Close(1000, "") },
		"the peer broke a rule":      func(b *queueBench) { b.peer.WriteRaw([]byte{0xff, 0xff}) },
		"two of these at about once": func(b *queueBench) { go b.peer.Reset(); b.q.Close() },
	} {
		t.Run("137 it stops when "+name, func(t *testing.T) {
			onQueue(t, actors.QueueConfig{Messages: 2}, plain, none, func(b *queueBench) {
				r := b.fills(2)
				put := b.waitingPut(context.Background(), "3", nil)
				end(b)
				if err := <-put; !errors.Is(err, actors.ErrClosed) {
					b.Errorf("the Put that waited: %v, want ErrClosed", err)
				}
				<-b.c.Done()
				for i, each := range r {
					b.one(fmt.Sprint(i), each, actors.ErrClosed)
				}
				if err := b.q.Put(context.Background(), "4", nil); !errors.Is(err, actors.ErrClosed) {
					b.Errorf("Put: %v, want ErrClosed", err)
				}
			})
		})
	}
	t.Run("137 at once, though the peer takes nothing", func(t *testing.T) {
		onQueue(t, zero, plain, none, func(b *queueBench) {
			b.fills(0)
			b.c.Close()
			if err := b.q.Put(b.Context(), "1", nil); !errors.Is(err, actors.ErrClosed) {
				b.Errorf("Put: %v, want ErrClosed", err)
			}
		})
	})
	t.Run("137 also when others have sent the last message", func(t *testing.T) {
		onQueue(t, actors.QueueConfig{Messages: 1}, plain, none, func(b *queueBench) {
			r := b.fills(1)
			result := make(chan error, 2)
			put := b.waitingPut(b.Context(), "2", result)
			if err := b.c.Send(big("last"), actors.ThenClose()); err != nil {
				b.Fatal(err)
			}
			b.reads("0")
			b.one("0", r[0], nil)
			b.one("1", r[1], actors.ErrClosed)
			if err := b.q.Put(b.Context(), "3", nil); !errors.Is(err, actors.ErrClosed) {
				b.Errorf("Put: %v, want ErrClosed", err)
			}
			if err := <-put; err != nil { // it had got a place when 1 was tried
				b.Errorf("the Put that waited: %v", err)
			}
			b.one("2", result, actors.ErrClosed)
			b.reads("last")
			b.readsClose(1000)
		})
	})
	t.Run("137 one that is made when the channel has closed says so too", func(t *testing.T) {
		onQueue(t, zero, plain, none, func(b *queueBench) {
			b.peer.Reset()
			<-b.c.Done()
			q, err := actors.NewQueue(b.c, zero)
			if err != nil {
				b.Fatal(err)
			}
			if err := q.Put(b.Context(), "0", nil); !errors.Is(err, actors.ErrClosed) {
				b.Errorf("Put: %v, want ErrClosed", err)
			}
			q.Close()
		})
	})

	t.Run("138 Close sends what waits, then closes the channel", func(t *testing.T) {
		onQueue(t, actors.QueueConfig{Messages: 2}, plain, none, func(b *queueBench) {
			r := b.fills(2)
			late := b.waitingPut(b.Context(), "late", nil)
			b.q.Close()
			b.q.Close()
			if err := errors.Join(<-late, b.q.Put(b.Context(), "later", nil)); !errors.Is(err, actors.ErrClosed) {
				b.Errorf("Puts: %v, want ErrClosed", err)
			}
			if !b.c.IsOpen() {
				b.Error("the channel closed before all was sent")
			}
			b.reads("0", "1", "2")
			b.readsClose(1000)
			for i, each := range r {
				b.one(fmt.Sprint(i), each, nil)
			}
		})
	})
	t.Run("138 at once if nothing waits", func(t *testing.T) {
		onQueue(t, zero, plain, none, func(b *queueBench) {
			b.q.Close()
			b.readsClose(1000)
		})
	})

	t.Run("139 an unusable receiver is logged and ignored", func(t *testing.T) {
		onQueue(t, zero, plain, none, func(b *queueBench) {
			closed := make(chan error)
			close(closed)
			for _, result := range []chan error{closed, make(chan error)} {
				if err := b.q.Put(b.Context(), "x", result); err != nil {
					b.Fatal(err)
				}
				b.reads("x")
			}
			good := b.put("y")
			b.reads("y")
			b.one("good", good, nil)
			if b.logs.count("the receiver is closed") != 1 || b.logs.count("the receiver has no room") != 1 {
				b.Errorf("logged: %s", b.logs.b.String())
			}
			if n := b.rt.Stats().HandlerFailed; n != 0 {
				b.Errorf("%d failures of the handler", n)
			}
		})
	})

	t.Run("140 kept at open, a queue reaches all callbacks", func(t *testing.T) {
		type key struct{}
		of := func(c *actors.Channel) *actors.Queue { return c.Value(key{}).(*actors.Queue) }
		puts := make(chan error, 10) // what became of them
		ctx := context.Background()
		cb := actors.Callbacks{
			Open: func(c *actors.Channel) {
				q, err := actors.NewQueue(c, actors.QueueConfig{Messages: 1})
				if err != nil {
					t.Error(err)
				}
				c.Set(key{}, q)
				puts <- q.Put(ctx, big("open"), nil)
			},
			Message: func(c *actors.Channel, m actors.Message) { puts <- of(c).Put(ctx, m, nil) },
			Close:   func(c *actors.Channel, _ actors.Closed) { puts <- of(c).Put(ctx, "close", nil) },
		}
		onQueue(t, zero, plain, cb, func(b *queueBench) {
			b.peer.WriteText("fits")
			b.peer.WriteText("does not, and would wait for itself")
			synctest.Wait()
			b.reads("open", "fits")
			of(b.c).Close()
			b.readsClose(1000)
			b.peer.Disconnect()
			<-b.c.Done()
			for i, want := range []error{nil, nil, actors.ErrSelfBlock, actors.ErrClosed} {
				if got := <-puts; !errors.Is(got, want) {
					b.Errorf("Put %d: %v, want %v", i, got, want)
				}
			}
		})
	})

	t.Run("243 a channel in memory needs no network", func(t *testing.T) {
		onQueue(t, zero, plain, none, func(b *queueBench) {
			r := b.put("hello")
			b.q.Close()
			b.reads("hello")
			b.readsClose(1000)
			b.one("hello", r, nil)
			if addr := b.peer.Conn().LocalAddr().Network(); addr != "memory" {
				b.Errorf("the peer is on %q", addr)
			}
		})
	})
}

// TestQueueAtRandom lets several goroutines put, others send, the peer read or
// not, and the channel end in one way or two at once. Whatever happens: a message
// that Put took has exactly one result, one that it did not take has none, what
// was written arrives once and in order, every Put returns, and values that are
// to be closed are closed once. The subtest's name is the seed.
func TestQueueAtRandom(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			cfg := actors.QueueConfig{
				Messages: 1 + rng.IntN(4),
				Overflow: []actors.Policy{{}, {}, actors.DropOldest, actors.DropNewest}[rng.IntN(4)],
			}
			opts := actors.Options{
				MailboxMessages: []int{1, 2, 64}[rng.IntN(3)],
				WriteTimeout:    []time.Duration{0, 20 * time.Millisecond}[rng.IntN(2)],
			}
			var r *randomQueue
			cb := actors.Callbacks{Message: func(*actors.Channel, actors.Message) { r.put(0, 1, "callback") }}
			onQueue(t, cfg, opts, cb, func(b *queueBench) {
				r = &randomQueue{queueBench: b, writing: make(chan struct{}, 1)}
				r.run(rng)
			})
		})
	}
}

type randomQueue struct {
	*queueBench
	writing chan struct{} // has a value while the peer writes: a mutex would stop the clock

	mu   sync.Mutex
	puts []randomPut
	read []string // by the peer
}

type randomPut struct {
	name   string
	err    error
	result chan error
	closed *atomic.Int32 // nil: nothing to close
}

func (r *randomQueue) run(rng *rand.Rand) {
	var putting, others sync.WaitGroup
	for p := range 1 + rng.IntN(4) {
		seed, n := rng.Uint64(), 1+rng.IntN(10)
		putting.Go(func() { r.put(seed, n, string(rune('a'+p))) })
	}
	seed := rng.Uint64()
	others.Go(func() { r.peerReads(rand.New(rand.NewPCG(seed, 2))) })
	for range rng.IntN(4) {
		at := r.someTime(rng)
		others.Go(func() {
			time.Sleep(at)
			_ = r.c.Send(big("other")) // any outcome will do
			r.writing <- struct{}{}
			_ = r.peer.WriteText("put something")
			<-r.writing
		})
	}
	for range 1 + rng.IntN(2) {
		at, how := r.someTime(rng), rng.IntN(7)
		others.Go(func() {
			time.Sleep(at)
			r.ends(how)
		})
	}
	putting.Wait()
	others.Wait()
	<-r.c.Done()
	synctest.Wait()
	r.check()
}

func (r *randomQueue) someTime(rng *rand.Rand) time.Duration {
	return time.Duration(rng.IntN(30)) * time.Millisecond
}

func (r *randomQueue) ends(how int) {
	switch how {
	case 0:
		r.q.Close()
	case 1:
		r.c.Close()
	case 2:
		r.c.Kick("")
	case 3:
		r.peer.Reset()
	case 4:
		r.peer.Disconnect()
	case 5:
		r.rt.System().Root.Stop(r.c.PID())
	case 6:
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		defer cancel()
		_ = r.rt.Drain(ctx) // cutting off is what this is for
	}
}

// peerReads reads now and then, until the end.
func (r *randomQueue) peerReads(rng *rand.Rand) {
	for {
		if rng.IntN(3) == 0 {
			time.Sleep(r.someTime(rng))
		}
		_, m, err := r.peer.ReadMessage(context.Background())
		if err != nil {
			r.writing <- struct{}{}
			_ = r.peer.Close(1000, "") // an answer, if it was a close frame
			_ = r.peer.Disconnect()
			<-r.writing
			return
		}
		r.mu.Lock()
		r.read = append(r.read, strings.TrimRight(string(m), "."))
		r.mu.Unlock()
	}
}

// put puts n messages of one sender, whose names are in ascending order.
func (r *randomQueue) put(seed uint64, n int, sender string) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		if rng.IntN(2) == 0 {
			time.Sleep(r.someTime(rng))
		}
		p := randomPut{name: fmt.Sprintf("%s%02d", sender, i), result: make(chan error, 2)}
		var v any = big(p.name)
		switch rng.IntN(6) {
		case 0:
			v = struct{}{}
		case 1:
			p.closed = new(atomic.Int32)
			v = closeable{strings.NewReader(p.name), p.closed}
		}
		ctx, cancel := context.Background(), func() {}
		if rng.IntN(3) == 0 {
			ctx, cancel = context.WithTimeout(ctx, r.someTime(rng))
		}
		p.err = r.q.Put(ctx, v, p.result)
		cancel()
		r.mu.Lock()
		r.puts = append(r.puts, p)
		r.mu.Unlock()
	}
}

func (r *randomQueue) check() {
	last := map[byte]string{}
	for _, name := range r.read {
		if strings.HasPrefix(name, "other") || strings.HasPrefix(name, "callback") {
			continue
		}
		if name <= last[name[0]] {
			r.Errorf("%s came after %s", name, last[name[0]])
		}
		last[name[0]] = name
	}
	for _, p := range r.puts {
		want := 1
		if p.err != nil {
			want = 0
		}
		if len(p.result) != want {
			r.Errorf("%s: Put %v, %d results", p.name, p.err, len(p.result))
		}
		if p.closed != nil && p.closed.Load() != 1 {
			r.Errorf("%s was closed %d times", p.name, p.closed.Load())
		}
		if p.err != nil && slices.Contains(r.read, p.name) {
			r.Errorf("%s: Put %v, and it arrived", p.name, p.err)
		}
	}
	if err := r.q.Put(context.Background(), "x", nil); !errors.Is(err, actors.ErrClosed) {
		r.Errorf("Put at the end: %v", err)
	}
}
