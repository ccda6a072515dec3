package troupe_test

import (
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

const tenth = 100 * time.Millisecond

// idle is what a test of the idle timeout needs.
func idle(d time.Duration) actors.Config {
	opts := quiet
	opts.IdleTimeout = d
	return actors.Config{Options: opts}
}

// The idle timeout of a WebSocket: items 107, 108 and 110.
func TestIdleFor100ms(t *testing.T) {
	t.Run("107 110 nothing for 100 ms", func(t *testing.T) {
		inBubble(t, idle(tenth), actors.Callbacks{}, func(l *lab) {
			c, p := l.open(0)
			start := time.Now()
			end := closeOf(l, p)
			if took := time.Since(start); end.Code != 1001 || took != tenth {
				l.Fatal(end, took)
			}
			must(l, p.Close(1001, ""))
			if e := l.ended(c); e.Cause != supervisor.CauseIdleTimeout || e.Code != 1001 || e.Name() != "going-away" {
				l.Fatal(e)
			}
		})
	})
	t.Run("107 a read or a write begins it anew", func(t *testing.T) {
		for name, touch := range map[string]func(l *lab, c *actors.Channel, p *transporttest.Peer) error{
			"a message read": func(_ *lab, _ *actors.Channel, p *transporttest.Peer) error { return p.WriteText("x") },
			"a ping read":    func(_ *lab, _ *actors.Channel, p *transporttest.Peer) error { return p.WritePing(nil) },
			"a write":        func(_ *lab, c *actors.Channel, _ *transporttest.Peer) error { return c.Send("x") },
			"a sequence": func(_ *lab, c *actors.Channel, _ *transporttest.Peer) error {
				return c.Send(func(yield func(string) bool) { yield("x") })
			},
		} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, idle(tenth), actors.Callbacks{}, func(l *lab) {
					c, p := l.open(0)
					start := time.Now()
					go answer(p)
					time.Sleep(60 * time.Millisecond)
					must(l, touch(l, c, p))
					if took, e := l.after(c, start); e.Cause != supervisor.CauseIdleTimeout || took != 160*time.Millisecond {
						l.Fatal(e, took)
					}
				})
			})
		}
	})
	t.Run("107 a part of a message is a read or a write", func(t *testing.T) {
		inBubble(t, idle(tenth), actors.Callbacks{}, func(l *lab) {
			c, p := l.open(64)
			told := send(l, c, blob(2000))
			for range 20 {
				time.Sleep(50 * time.Millisecond)
				if _, err := io.ReadFull(p.Conn(), make([]byte, 50)); err != nil {
					l.Fatal(err)
				}
			}
			if len(told) != 0 || !c.IsOpen() {
				l.Fatal("written, or closed, in the middle")
			}
			_, err := io.CopyN(io.Discard, p.Conn(), 2000+4-20*50)
			must(l, err)
			written(l, told)
			go answer(p)
			start := time.Now()
			for i := range 20 {
				time.Sleep(50 * time.Millisecond)
				op := ws.OpContinuation
				if i == 0 {
					op = ws.OpText
				}
				must(l, p.WriteFrame(ws.NewFrame(op, false, []byte("piece"))))
			}
			if took, e := l.after(c, start); e.Cause != supervisor.CauseIdleTimeout || took != 20*50*time.Millisecond+tenth {
				l.Fatal(e, took)
			}
		})
	})
	t.Run("108 sends every 50 ms keep it open", func(t *testing.T) {
		inBubble(t, idle(tenth), actors.Callbacks{}, func(l *lab) {
			c, p := l.open(0)
			go answer(p)
			for range 200 {
				time.Sleep(50 * time.Millisecond)
				must(l, c.Send("x"))
			}
			start := time.Now()
			if took, e := l.after(c, start); e.Cause != supervisor.CauseIdleTimeout || took != tenth {
				l.Fatal(e, took)
			}
		})
	})
	for name, opts := range map[string]actors.Options{"by default": quiet, "if negative": {IdleTimeout: -1, PingInterval: -1}} {
		t.Run("107 none "+name, func(t *testing.T) {
			inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
				c, _ := l.open(0)
				time.Sleep(365 * 24 * time.Hour)
				if !c.IsOpen() {
					l.Fatal("closed")
				}
			})
		})
	}
}

// How long a stream may be open: item 109.
func TestMaxOpenFor100ms(t *testing.T) {
	for _, framing := range []transport.Framing{transport.FramingStream, transport.FramingSSE} {
		opts := quiet
		opts.MaxOpen = tenth
		cfg := actors.Config{Options: opts}
		open := func(l *lab) (*actors.Channel, *transport.MemoryConn) {
			link, conn := (&transport.Config{}).MemoryStream(framing, 0)
			c, err := l.ep.Open(link, nil, "")
			must(l, err)
			return c, conn
		}
		read := func(l *lab, conn *transport.MemoryConn) {
			if _, err := io.Copy(io.Discard, conn); err != nil {
				l.Error(err)
			}
			_ = conn.Close() // when the response is complete
		}
		t.Run("109 busy or not: "+framing.String(), func(t *testing.T) {
			for _, busy := range []bool{false, true} {
				inBubble(t, cfg, actors.Callbacks{}, func(l *lab) {
					start := time.Now()
					c, conn := open(l)
					go read(l, conn)
					for range 9 {
						time.Sleep(tenth / 10)
						if busy {
							must(l, c.Send("busy"))
						}
					}
					if took, e := l.after(c, start); e.Cause != supervisor.CauseMaxOpen || e.Name() != "server-close" || took != tenth {
						l.Fatal(e, took)
					}
				})
			}
		})
		t.Run("109 from its creation: "+framing.String(), func(t *testing.T) {
			inBubble(t, cfg, actors.Callbacks{Open: func(*actors.Channel) { time.Sleep(60 * time.Millisecond) }}, func(l *lab) {
				start := time.Now()
				c, conn := open(l)
				read(l, conn)
				if took, e := l.after(c, start); e.Cause != supervisor.CauseMaxOpen || took != tenth {
					l.Fatal(e, took)
				}
			})
		})
		t.Run("109 not after an earlier close: "+framing.String(), func(t *testing.T) {
			inBubble(t, cfg, actors.Callbacks{}, func(l *lab) {
				c, conn := open(l)
				time.Sleep(tenth / 2)
				c.Close()
				read(l, conn)
				done(l, c)
				time.Sleep(time.Hour)
				if e := l.ended(c); e.Cause != supervisor.CauseLocalClosed {
					l.Fatal(e)
				}
			})
		})
	}
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{MaxOpen: time.Millisecond})
		t.Run("109 over HTTP, where it is no idle timeout", func(t *testing.T) {
			h, r := m.held("GET", "Accept: text/event-stream")
			if resp := r.answer("GET"); rest(t, resp) != "" || resp.StatusCode != 200 {
				t.Fatal(resp)
			}
			if e := end(t, h); e.Cause != supervisor.CauseMaxOpen {
				t.Fatal(e)
			}
			c, p := m.socket() // of a WebSocket it says nothing
			must(t, c.Send("open"))
			if s := m.read(p); s != "open" || !c.IsOpen() {
				t.Fatal(s)
			}
		})
	})
}

// Timers: items 111 and 112.
func TestTimers(t *testing.T) {
	t.Run("111 run after a time unless stopped", func(t *testing.T) {
		inBubble(t, actors.Config{Options: quiet}, actors.Callbacks{}, func(l *lab) {
			c, _ := l.open(0)
			start := time.Now()
			ran := make(chan time.Duration, 10)
			f := func() { ran <- time.Since(start) }
			first, stopped := c.After(tenth, f), c.After(2*tenth, f)
			if took := get(l, ran); took != tenth {
				l.Fatal(took)
			}
			if first.Stop() {
				l.Fatal("stopped although it ran")
			}
			if !stopped.Stop() || stopped.Stop() {
				l.Fatal("not stopped once")
			}
			late := c.After(time.Hour, f)
			time.Sleep(30 * time.Minute)
			c.Close()
			if never := c.After(0, f); never.Stop() {
				l.Fatal("set on a channel that is closed")
			}
			time.Sleep(time.Hour)
			if late.Stop(); len(ran) != 0 {
				l.Fatal("ran although stopped or closed")
			}
		})
	})
	// What http-kit calls with-timeout is two lines.
	within := func(c *actors.Channel, d time.Duration, f, expired func()) func() {
		timer := c.After(d, expired)
		return func() {
			if timer.Stop() {
				f()
			}
		}
	}
	t.Run("112 in time or expired", func(t *testing.T) {
		inBubble(t, actors.Config{Options: quiet}, actors.Callbacks{}, func(l *lab) {
			c, _ := l.open(0)
			var called, expired atomic.Int32
			count := func(n *atomic.Int32) func() { return func() { n.Add(1) } }
			f := within(c, tenth, count(&called), count(&expired))
			time.Sleep(tenth - 1)
			f()
			f()
			time.Sleep(tenth)
			if called.Load() != 1 || expired.Load() != 0 {
				l.Fatal(called.Load(), expired.Load())
			}
			f = within(c, tenth, count(&called), count(&expired))
			time.Sleep(tenth)
			synctest.Wait()
			f()
			if called.Load() != 1 || expired.Load() != 1 {
				l.Fatal(called.Load(), expired.Load())
			}
		})
	})
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{})
		t.Run("112 one of both however close they come", func(t *testing.T) {
			c, p := m.socket()
			const rounds = 2000
			happened := make(chan bool, 2*rounds)
			var calls sync.WaitGroup
			for i := range rounds {
				d := time.Duration(i%20) * 10 * time.Microsecond
				f := within(c, d, func() { happened <- true }, func() { happened <- false })
				if i%2 == 0 {
					calls.Add(1)
					time.AfterFunc(d, func() { f(); calls.Done() })
				} else {
					f()
				}
				get(t, happened)
			}
			calls.Wait()
			must(t, p.Disconnect())
			m.end() // nothing is under way any more
			if len(happened) != 0 {
				t.Fatalf("%d times both", len(happened))
			}
		})
	})
}

// Each endpoint has its own timeouts for reading and writing: item 113.
func TestTimeoutsOfAnEndpoint(t *testing.T) {
	inBubble(t, actors.Config{Options: quiet}, actors.Callbacks{}, func(l *lab) {
		type peer struct {
			c *actors.Channel
			*transporttest.Peer
		}
		open := func(opts actors.Options) peer {
			ep, err := l.rt.Endpoint(opts, actors.Callbacks{})
			must(l, err)
			link, p := transporttest.Pair(&transport.Config{}, 64)
			c, err := ep.Open(link, nil, "")
			must(l, err)
			return peer{c, p}
		}
		writes := open(actors.Options{WriteTimeout: tenth})
		slower := open(actors.Options{WriteTimeout: 3 * tenth})
		reads := open(actors.Options{PingInterval: tenth, PongTimeout: tenth})
		for _, p := range []peer{writes, slower} { // nobody reads
			must(l, p.c.Send(blob(1000)))
		}
		start := time.Now()
		for _, want := range []struct {
			peer
			after time.Duration
			cause supervisor.Cause
		}{
			{writes, tenth, supervisor.CauseWriteTimeout},
			{reads, 2 * tenth, supervisor.CausePongTimeout},
			{slower, 3 * tenth, supervisor.CauseWriteTimeout},
		} {
			if e := end(l, want.c); e.Cause != want.cause || time.Since(start) != want.after {
				l.Errorf("113 %v after %v, want %v after %v", e, time.Since(start), want.cause, want.after)
			}
		}
		if f, err := reads.ReadFrame(l.Context()); err != nil || f.Header.OpCode != ws.OpPing {
			l.Error(f, err)
		}
	})
}
