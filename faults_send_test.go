package troupe_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// openStream makes a channel of server-sent events in memory.
func (l *lab) openStream() (*actors.Channel, *transport.MemoryConn) {
	l.Helper()
	link, conn := (&transport.Config{}).MemoryStream(transport.FramingSSE, 0)
	c, err := l.ep.Open(link, nil, "")
	if err != nil {
		l.Fatal(err)
	}
	synctest.Wait()
	return c, conn
}

// steps is a reader that yields what it is told to, and an error at last.
type steps chan any

func (s steps) Read(b []byte) (int, error) {
	switch v := (<-s).(type) {
	case string:
		return copy(b, v), nil
	case error:
		return 0, v
	}
	return 0, io.EOF
}

var errDisk = errors.New("the disk is broken")

// A message that breaks off while the channel closes in good order: what was to
// be flushed behind it must not become a part of it.
func TestMessageBreaksOffWhileClosing(t *testing.T) {
	inBubble(t, actors.Config{}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(0)
		source := make(steps)
		must(l, c.Send(source, actors.Whole()))
		must(l, c.Send("behind"))
		source <- "half"
		c.Close()
		synctest.Wait()
		source <- errDisk
		f, err := p.ReadFrame(l.Context())
		must(l, err)
		if string(f.Payload) != "half" || f.Header.Fin {
			l.Fatal(f)
		}
		if f, err = p.ReadFrame(l.Context()); err != nil || f.Header.OpCode != ws.OpClose {
			l.Fatal(f, err)
		}
		must(l, p.WriteFrame(f))
		l.ended(c)
	})
	inBubble(t, actors.Config{}, actors.Callbacks{}, func(l *lab) {
		c, conn := l.openStream()
		source := make(steps)
		must(l, c.Send(source, actors.Whole()))
		must(l, c.Send("behind"))
		source <- "half"
		c.Close()
		synctest.Wait()
		source <- errDisk
		body, _ := io.ReadAll(conn)
		if got := string(body); !strings.HasSuffix(got, "data: half") {
			l.Fatalf("%q", got)
		}
		l.ended(c)
	})
}

// A function of OnClose that ends its goroutine does not take the others along,
// not even where the handler's Close hangs.
func TestOnCloseEndsItsGoroutine(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		let := make(chan struct{})
		b := actors.Callbacks{Close: func(*actors.Channel, actors.Closed) {
			if hangs {
				<-let
			}
		}}
		var ran atomic.Int32
		inBubble(t, actors.Config{}, b, func(l *lab) {
			let = make(chan struct{})
			c, p := l.open(0)
			for _, end := range []func(){runtime.Goexit, func() { panic("as planned") }, func() {}} {
				c.OnClose(func(actors.Closed) {
					ran.Add(1)
					end()
				})
			}
			must(l, p.Disconnect())
			<-c.Done()
			synctest.Wait()
			if n := ran.Load(); n != 3 {
				t.Errorf("hangs %v: %d functions ran", hangs, n)
			}
			close(let)
		})
	}
}

// The error of a reader that fails inside a character is the reader's.
func TestReaderFailsInsideACharacter(t *testing.T) {
	inBubble(t, actors.Config{}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(0)
		r := io.MultiReader(strings.NewReader("gr\xc3"), &failing{errDisk})
		if err := c.SendWait(l.Context(), r, actors.AsText()); !errors.Is(err, errDisk) {
			l.Fatal(err)
		}
		if _, s, err := p.ReadMessage(l.Context()); string(s) != "gr" || err != nil {
			l.Fatal(string(s), err)
		}
	})
}

// Keepalive does not begin a response that somebody else was to begin.
func TestKeepAliveLeavesTheResponseAlone(t *testing.T) {
	opts := actors.Options{PingInterval: time.Second, HandlerDeadline: 5 * time.Second}
	stuck := make(chan struct{})
	first := true
	b := actors.Callbacks{Open: func(*actors.Channel) {
		if first {
			first = false
			<-stuck
		}
	}}
	inBubble(t, actors.Config{Options: opts}, b, func(l *lab) {
		stuck = make(chan struct{})
		c, conn := l.openStream()
		must(l, c.SendWait(l.Context(), actors.Response{Status: 201, Body: "first"}))
		buf := make([]byte, 100)
		n, err := conn.Read(buf)
		if got := string(buf[:n]); err != nil || got != "data: first\n\n" {
			l.Fatalf("%q, %v", got, err)
		}
		close(stuck)
	})
}

// Keepalive goes on behind whatever has held it up.
func TestKeepAliveGoesOn(t *testing.T) {
	opts := actors.Options{PingInterval: time.Second, WriteTimeout: -1}
	inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
		c, conn := l.openStream()
		source := make(steps)
		must(l, c.Send(source, actors.Whole()))
		source <- "slow"
		time.Sleep(3500 * time.Millisecond)
		source <- io.EOF
		time.Sleep(2500 * time.Millisecond)
		c.Close()
		body, _ := io.ReadAll(conn)
		if got := string(body); got != "data: slow\n\n:\n\n:\n\n" {
			l.Fatalf("%q", got)
		}
	})
	inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(10)
		must(l, c.Send("more than the pipe can hold"))
		time.Sleep(10 * time.Second)
		if _, s, err := p.ReadMessage(l.Context()); len(s) == 0 || err != nil {
			l.Fatal(string(s), err)
		}
		ctx, cancel := context.WithTimeout(l.Context(), 3*time.Second)
		defer cancel()
		if f, err := p.ReadFrame(ctx); err != nil || f.Header.OpCode != ws.OpPing {
			l.Fatal(f, err)
		}
		c.Close()
	})
}

// A ThenClose that takes the place of an older message is not the whole response:
// there are those behind it.
func TestThenCloseBeforeOthers(t *testing.T) {
	b := actors.Callbacks{Open: func(c *actors.Channel) {
		for _, err := range []error{
			c.Send("old", actors.Latest(1)),
			c.Send("behind"),
			c.Send("new, ", actors.Latest(1), actors.ThenClose()),
		} {
			must(t, err)
		}
	}}
	inBubble(t, actors.Config{}, b, func(l *lab) {
		link, conn := (&transport.Config{}).MemoryStream(transport.FramingStream, 0)
		c, err := l.ep.Open(link, nil, "")
		must(l, err)
		body, _ := io.ReadAll(conn)
		if string(body) != "new, behind" {
			l.Fatalf("%q", body)
		}
		if e := l.ended(c); e.Cause != supervisor.CauseLocalClosed {
			l.Fatal(e)
		}
	})
}

// Within also bounds the wait for room.
func TestWithinBoundsTheWaitForRoom(t *testing.T) {
	opts := actors.Options{MailboxMessages: 1, WriteTimeout: -1}
	inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(10)
		must(l, c.Send("more than the pipe can hold"))
		began := time.Now()
		if err := c.SendWait(l.Context(), "no room", actors.Within(time.Second)); !errors.Is(err, actors.ErrTimeout) {
			l.Fatal(err)
		}
		if d := time.Since(began); d != time.Second || !c.IsOpen() {
			l.Fatal(d, c.IsOpen())
		}
		must(l, p.Disconnect())
	})
}

// A piece of a reader that comes to a link which has just failed is like all else
// that waits then: it ends with the channel, and has not failed by itself.
func TestAPieceForADeadLinkIsNotOpen(t *testing.T) {
	var hold chan struct{}
	b := actors.Callbacks{Message: func(*actors.Channel, actors.Message) { <-hold }}
	inBubble(t, actors.Config{}, b, func(l *lab) {
		hold = make(chan struct{})
		c, p := l.open(0)
		source, outcomes := make(steps), make(chan actors.Outcome, 1)
		must(l, c.Send(source, actors.OnOutcome(func(out actors.Outcome, err error) {
			if !errors.Is(err, actors.ErrClosed) {
				l.Errorf("outcome %v: %v", out, err)
			}
			outcomes <- out
		})))
		synctest.Wait()
		must(l, p.WriteText("wait"))
		must(l, p.WritePing(nil)) // its pong finds the link dead
		must(l, p.Disconnect())
		synctest.Wait()
		source <- "piece"
		synctest.Wait()
		close(hold)
		if out := <-outcomes; out != actors.NotOpen {
			l.Errorf("outcome %v", out)
		}
	})
}
