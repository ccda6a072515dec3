package faulttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// vice is what a handler does when its peer asks for it.
type vice struct {
	release chan struct{} // ends what would last for ever
	leaked  sync.WaitGroup
	refused atomic.Int64 // sends of goroutines that outlived their channel
}

func (v *vice) behavior() actors.Behavior {
	return actors.Callbacks{
		Message: func(c *actors.Channel, m actors.Message) {
			switch m.String() {
			case "panic":
				panic("as asked")
			case "block":
				<-v.release
			case "leak":
				v.leaked.Go(func() {
					<-c.Done()
					if err := c.Send("too late"); errors.Is(err, actors.ErrClosed) {
						v.refused.Add(1)
					}
					<-v.release
				})
			}
			_ = c.Send(m)
		},
		Close: func(c *actors.Channel, _ actors.Closed) {
			switch c.UID()[0] {
			case 'p':
				panic("at the end")
			case 'b':
				<-v.release
			}
		},
	}
}

// Handlers that panic, block and leak goroutines, by the hundred: each costs its own
// channel one message, or the channel, and nobody else anything.
func TestHandlersMisbehave(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		h := build(t, actors.Config{Driver: d}, actors.ServerConfig{})
		v := &vice{release: make(chan struct{})}
		hasty, err := h.rt.Endpoint(actors.Options{HandlerDeadline: time.Second}, v.behavior())
		must(t, err)
		h.mux.Handle("/hasty", hasty)
		h.mux.Handle("/bad", h.rt.Handler(v.behavior()))
		h.mux.Handle("/", h.rt.Handler(echo))

		each := pick(20, 400)
		var all sync.WaitGroup
		for i := range each {
			for _, life := range []struct {
				uid   string
				path  string
				sends []string
				gets  []string
				code  uint16 // 0: the peer leaves
			}{
				{"panics", "/bad", []string{"panic", "a", "panic", "b"}, []string{"a", "b"}, 0},
				{"panics too often", "/bad", []string{"a", "panic", "panic", "panic", "panic", "b"}, []string{"a"}, 1011},
				{"blocks", "/hasty", []string{"a", "block", "b"}, []string{"a", "b"}, 0},
				{"leaks", "/bad", []string{"leak", "b"}, []string{"leak", "b"}, 0},
				{"well behaved", "/", []string{"a", "b", "c"}, []string{"a", "b", "c"}, 0},
			} {
				all.Go(func() {
					p, _, err := transporttest.DialPeer(t.Context(), fmt.Sprintf("ws://%s%s?uid=%s-%d", h.srv.Addr(), life.path, urlOf(life.uid), i))
					if err != nil {
						t.Error(err)
						return
					}
					if err := live(p, life.sends, life.gets, life.code); err != nil {
						t.Errorf("%s %d: %v", life.uid, i, err)
					}
				})
			}
		}
		all.Wait()
		await(t, func() bool { st := h.rt.Stats(); return st.Closed == int64(5*each) && st.HandlerStuck >= int64(2*each) })
		close(v.release)
		v.leaked.Wait()
		await(t, func() bool { return h.rt.Stats().Abandoned == 0 })
		h.end()

		st := h.rt.Stats()
		// Close panics with the first two, and blocks with the third.
		failed, stuck := int64(each*(2+4+2)), int64(each*2)
		if st.HandlerFailed != failed || st.HandlerStuck < stuck || v.refused.Load() != int64(each) {
			t.Errorf("%d panics, %d stuck, %d refused, want %d, %d and %d", st.HandlerFailed, st.HandlerStuck, v.refused.Load(), failed, stuck, each)
		}
		if n := h.causes("panics too")[supervisor.CauseHandlerFailed]; n != each || st.Causes[supervisor.CausePeerClosed] != int64(4*each) {
			t.Errorf("ended by %s", tally(st.Causes))
		}
	})
}

func urlOf(uid string) string {
	b := []byte(uid)
	for i, c := range b {
		if c == ' ' {
			b[i] = '+'
		}
	}
	return string(b)
}

// live sends, expects, and leaves or is thrown out.
func live(p *transporttest.Peer, sends, gets []string, code uint16) error {
	defer p.Disconnect()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, text := range sends {
		if err := p.WriteText(text); err != nil {
			return err
		}
	}
	for _, want := range gets {
		_, got, err := p.ReadMessage(ctx)
		if err != nil || string(got) != want {
			return fmt.Errorf("got %q, %w, want %q", got, err, want)
		}
	}
	if code == 0 {
		if code = 1000; p.Close(code, "") != nil {
			return errors.New("it is closed already")
		}
	}
	_, got, err := p.ReadMessage(ctx)
	var end *transporttest.CloseError
	if !errors.As(err, &end) || end.Code != code {
		return fmt.Errorf("got %q, %w, want the end with %d", got, err, code)
	}
	return nil
}
