package troupe_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// after is how long it takes until the channel ends.
func (l *lab) after(c *actors.Channel, since time.Time) (time.Duration, actors.Closed) {
	l.Helper()
	e := l.ended(c)
	return time.Since(since), e
}

// answer plays a peer that reads, answers pings and closes, until the end.
func answer(p *transporttest.Peer) {
	for {
		_, _, err := p.ReadMessage(context.Background())
		var end *transporttest.CloseError
		if errors.As(err, &end) {
			_ = p.Close(end.Code, "") // the server may be gone
		}
		if err != nil {
			return
		}
	}
}

var quiet = actors.Options{PingInterval: -1, WriteTimeout: -1}

func TestIdleTimeout(t *testing.T) {
	opts := quiet
	opts.IdleTimeout = 10 * time.Second
	for name, keep := range map[string]func(l *lab, c *actors.Channel, p *transporttest.Peer){
		"nothing":             nil,
		"messages of theirs":  func(l *lab, c *actors.Channel, p *transporttest.Peer) { must(l, p.WriteText("x")) },
		"messages of ours":    func(l *lab, c *actors.Channel, p *transporttest.Peer) { must(l, c.Send("x")) },
		"pings of theirs":     func(l *lab, c *actors.Channel, p *transporttest.Peer) { must(l, p.WritePing(nil)) },
		"local messages only": func(l *lab, c *actors.Channel, p *transporttest.Peer) { l.rt.System().Root.Send(c.PID(), "x") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
				c, p := l.open(0)
				began := time.Now()
				want := 10 * time.Second
				go answer(p)
				for range 5 {
					if keep == nil {
						break
					}
					time.Sleep(9 * time.Second)
					if c.IsOpen() {
						keep(l, c, p)
						synctest.Wait()
					}
				}
				if keep != nil && name != "local messages only" {
					want = 55 * time.Second
				}
				<-c.Done()
				if e := l.ended(c); e.Cause != supervisor.CauseIdleTimeout || e.Code != 1001 {
					l.Errorf("ended by %v", e)
				}
				if name == "local messages only" {
					return // it ended before we stopped to send
				}
				if took := time.Since(began); took != want {
					l.Errorf("after %v, want %v", took, want)
				}
			})
		})
	}
}

func TestMaxOpen(t *testing.T) {
	opts := quiet
	opts.MaxOpen = time.Minute
	for _, framing := range []transport.Framing{transport.FramingStream, transport.FramingSSE} {
		t.Run(framing.String(), func(t *testing.T) {
			inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
				link, conn := (&transport.Config{}).MemoryStream(framing, 0)
				c, err := l.ep.Open(link, nil, "")
				must(l, err)
				began := time.Now()
				p := transporttest.NewPeer(conn, nil)
				for range 7 {
					time.Sleep(9 * time.Second)
					_ = c.Send("busy") // to the last
				}
				_ = p.Disconnect()
				took, e := l.after(c, began)
				if e.Cause != supervisor.CauseMaxOpen || e.Code != 0 {
					l.Errorf("ended by %v after %v", e, took)
				}
			})
		})
	}
}

func TestWriteTimeout(t *testing.T) {
	opts := quiet
	opts.WriteTimeout = 10 * time.Second
	inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(100)
		must(l, c.Send(make([]byte, 500)))
		for range 3 { // it takes a little, now and then
			time.Sleep(9 * time.Second)
			if _, err := p.Conn().Read(make([]byte, 10)); err != nil {
				l.Fatal(err)
			}
			synctest.Wait()
		}
		began := time.Now()
		took, e := l.after(c, began)
		if e.Cause != supervisor.CauseWriteTimeout || took != 10*time.Second {
			l.Errorf("ended by %v after %v", e, took)
		}
	})
}

func TestPingAndPong(t *testing.T) {
	opts := actors.Options{PingInterval: 20 * time.Second, PongTimeout: 5 * time.Second}
	t.Run("answered", func(t *testing.T) {
		inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
			c, p := l.open(0)
			go answer(p)
			time.Sleep(10 * time.Minute)
			if !c.IsOpen() {
				l.Error("a peer that answers was closed")
			}
		})
	})
	t.Run("not answered", func(t *testing.T) {
		inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
			c, p := l.open(0)
			began := time.Now()
			f, err := p.ReadFrame(l.Context())
			if err != nil || f.Header.OpCode != ws.OpPing || time.Since(began) != 20*time.Second {
				l.Fatalf("%v after %v, %v", f.Header.OpCode, time.Since(began), err)
			}
			if took, e := l.after(c, began); e.Cause != supervisor.CausePongTimeout || took != 25*time.Second {
				l.Errorf("ended by %v after %v", e, took)
			}
		})
	})
	t.Run("asked again before an answer would be late", func(t *testing.T) {
		opts := actors.Options{PingInterval: 2 * time.Second, PongTimeout: 10 * time.Second}
		inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
			c, p := l.open(0)
			for i := range 5 {
				began := time.Now()
				f, err := p.ReadFrame(l.Context())
				if err != nil || f.Header.OpCode != ws.OpPing || time.Since(began) != 2*time.Second {
					l.Fatalf("ping %d: %v after %v, %v", i, f.Header.OpCode, time.Since(began), err)
				}
				time.Sleep(time.Duration(i) * time.Second)
				must(l, p.WriteFrame(ws.NewPongFrame(f.Payload)))
				synctest.Wait()
			}
			began := time.Now()
			if _, err := p.ReadFrame(l.Context()); err != nil {
				l.Fatal(err)
			}
			if took, e := l.after(c, began); e.Cause != supervisor.CausePongTimeout || took != 12*time.Second {
				l.Errorf("ended by %v after %v", e, took)
			}
		})
	})
	// An answer that came in time counts, however late the handler lets it be
	// read.
	t.Run("answered while the handler is busy", func(t *testing.T) {
		inBubble(t, actors.Config{Options: opts}, actors.Callbacks{
			Message: func(*actors.Channel, actors.Message) { time.Sleep(25 * time.Second) },
		}, func(l *lab) {
			c, p := l.open(0)
			go answer(p)
			time.Sleep(20 * time.Second) // the ping and the message meet
			must(l, p.WriteText("work"))
			time.Sleep(10 * time.Minute)
			if !c.IsOpen() {
				l.Error("a peer that answered was closed")
			}
		})
	})
}

// A message that came in time keeps a channel from being idle, however late the
// handler lets it be read.
func TestBusyIsNotIdle(t *testing.T) {
	opts := quiet
	opts.IdleTimeout = 10 * time.Second
	inBubble(t, actors.Config{Options: opts}, actors.Callbacks{
		Message: func(*actors.Channel, actors.Message) { time.Sleep(12 * time.Second) },
	}, func(l *lab) {
		c, p := l.open(0)
		time.Sleep(9 * time.Second)
		must(l, p.WriteText("work"))
		time.Sleep(8 * time.Second)
		must(l, p.WriteText("more work"))
		time.Sleep(15 * time.Second)
		if got := l.rt.Stats().Received; !c.IsOpen() || got != 2 {
			l.Errorf("open %v, %d messages", c.IsOpen(), got)
		}
		_ = p.Disconnect()
	})
}

func TestCloseTimeout(t *testing.T) {
	opts := quiet
	opts.CloseTimeout = 3 * time.Second
	for name, size := range map[string]int{"close frame unanswered": 0, "nothing is read": 500} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
				outcomes := make(chan actors.Outcome, 1)
				c, p := l.open(100)
				must(l, c.Send(make([]byte, size), actors.OnOutcome(func(o actors.Outcome, _ error) { outcomes <- o })))
				began := time.Now()
				c.Close()
				took, e := l.after(c, began)
				if e.Cause != supervisor.CauseLocalClosed || e.Code != 1000 || took != 3*time.Second {
					l.Errorf("ended by %v after %v", e, took)
				}
				if got := <-outcomes; (got == actors.Written) != (size == 0) {
					l.Errorf("the message is %v", got)
				}
				_ = p.Disconnect()
			})
		})
	}
	// Who stops a PID waits for no more than a second.
	t.Run("stopped by PID", func(t *testing.T) {
		inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
			c, _ := l.open(0)
			began := time.Now()
			must(l, l.rt.System().Root.StopFuture(c.PID()).Wait())
			if took, e := l.after(c, began); e.Cause != supervisor.CauseStopped || took != time.Second {
				l.Errorf("ended by %v after %v", e, took)
			}
		})
	})
}

// Sends before a local close are flushed, in order, before the close frame.
func TestCloseFlushes(t *testing.T) {
	inBubble(t, actors.Config{Options: quiet}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(100)
		for i := range 50 {
			must(l, c.Send(make([]byte, i)))
		}
		if _, err := c.CloseWith(4000, "done"); err != nil {
			l.Fatal(err)
		}
		if err := c.Send("late"); !errors.Is(err, actors.ErrClosed) {
			l.Errorf("after the close: %v", err)
		}
		for i := range 50 {
			if _, b, err := p.ReadMessage(l.Context()); err != nil || len(b) != i {
				l.Fatalf("message %d has %d bytes, %v", i, len(b), err)
			}
		}
		if end := closeOf(l, p); end.Code != 4000 || end.Reason != "done" {
			l.Error(end)
		}
		must(l, p.Close(4000, ""))
		if e := l.ended(c); e.Code != 4000 {
			l.Errorf("ended by %v", e)
		}
	})
}
