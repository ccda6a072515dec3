package events

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/transport"
)

// A client that moves says again on a WebSocket what it has POSTed, and goes on. What
// the POST brought is handled first, also at the moment between its being taken and
// its being told to the actor.
func TestWhatWasPostedIsHandledBeforeWhatFollowsOnAWebSocket(t *testing.T) {
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Stop(context.Background())
	attached := make(chan *Session, 1)
	srv, err := New(rt, Handlers{Attached: func(s *Session, _ Attached) { attached <- s }}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan int, 2)
	On(srv, "n", func(_ context.Context, n int) error { heard <- n; return nil })
	web := httptest.NewServer(srv)
	defer web.Close()
	sub, err := (&protocol.ClientHello{V: 1, Client: "a"}).Subprotocol()
	if err != nil {
		t.Fatal(err)
	}
	c, _, _, err := ws.Dialer{Protocols: []string{protocol.JSON, sub}}.Dial(t.Context(), strings.Replace(web.URL, "http", "ws", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := <-attached
	if room, err := s.take(0, &letter{rt: rt, said: []posted{{op: transport.Text, data: []byte("e n 1")}}}, nil); room != nil || err != nil {
		t.Fatal(room, err)
	}
	for _, text := range []string{"e n 1", "e n 2"} {
		if err := wsutil.WriteClientText(c, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if first := <-heard; first != 1 {
		t.Errorf("the first that is handled is %d", first)
	}
	s.wake()
	<-heard
}

// gone is a connection whose client does not listen any more.
type gone struct {
	transport.Link
	released atomic.Bool
}

func (*gone) Begin(*transport.Head, int64) (bool, error) { return false, errors.New("gone") }
func (*gone) Close(uint16, string)                       {}
func (*gone) CloseWrite()                                {}
func (*gone) Flush() error                               { return errors.New("gone") }
func (g *gone) Release()                                 { g.released.Store(true) }

// A poll that was on its way when its client moved on takes nothing back, also from a
// connection that has just come.
func TestALatePollTakesNoPlace(t *testing.T) {
	for _, how := range []Transport{WebSocket, SSE, Poll} {
		synctest.Test(t, func(t *testing.T) {
			s := &Session{}
			hello, late := &gone{}, &gone{}
			if !s.arrive(&arrival{link: hello, how: how, first: true}) || !s.arrive(&arrival{link: late, how: Poll}) {
				t.Fatal("it is over")
			}
			if hello.released.Load() || late.released.Load() == (how == Poll) || s.arrival.link != hello {
				t.Errorf("%v: a poll has taken its place, or is answered at once", how)
			}
			time.Sleep(pollPause)
			synctest.Wait()
			if hello.released.Load() || !late.released.Load() || s.arrival.link != hello {
				t.Errorf("%v: a poll has taken its place, or is not answered", how)
			}
			newer := &gone{}
			s.arrive(&arrival{link: newer, how: Poll, first: true})
			if !hello.released.Load() || s.arrival.link != newer {
				t.Errorf("%v: another hello has not taken its place", how)
			}
		})
	}
}
