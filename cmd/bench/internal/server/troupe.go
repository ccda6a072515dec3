//go:build linux

package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// troupe is this project with every feature on that costs something while a
// channel is idle: a user, an idle timeout, pings.
type troupe struct {
	counter
	rt        *actors.Runtime
	echo, sub *actors.Endpoint
	text      bool // what is published is for server-sent events
	phantoms  []*transport.MemoryConn
}

const topic = "all"

func newTroupe(driver string) func(Options) (implementation, error) {
	return func(o Options) (implementation, error) {
		d, err := transport.ParseDriver(driver)
		if err != nil {
			return nil, err
		}
		rt, err := actors.Start(actors.Config{
			Driver: d,
			Logger: slog.New(slog.DiscardHandler),
			Options: actors.Options{
				IdleTimeout:  time.Hour,
				LendMessages: true,
				Authorize: func(_ http.ResponseWriter, r *http.Request) (string, bool) {
					return r.URL.Query().Get("uid"), true
				},
				Compression: actors.Compression{Enabled: o.Deflate},
			},
		})
		if err != nil {
			return nil, err
		}
		t := &troupe{rt: rt, text: o.SSE}
		gone := func(*actors.Channel, actors.Closed) { t.add(-1) }
		t.echo = rt.Handler(actors.Callbacks{
			Open:    func(*actors.Channel) { t.add(1) },
			Message: func(c *actors.Channel, m actors.Message) { _ = c.SendMessage(m) },
			Close:   gone,
		})
		t.sub = rt.Handler(actors.Callbacks{
			Open: func(c *actors.Channel) {
				_, _ = c.Join(topic)
				t.add(1)
			},
			Close: gone,
		})
		return t, t.haunt(o.Phantoms)
	}
}

// haunt opens channels that have no socket.
func (t *troupe) haunt(n int) error {
	ep := t.rt.Handler(actors.Callbacks{})
	for i := range n {
		link, client := new(transport.Config).MemoryPair(512)
		if _, err := ep.Open(link, nil, phantom(i)); err != nil {
			t.Close()
			return err
		}
		t.phantoms = append(t.phantoms, client)
	}
	return nil
}

func (t *troupe) Echo(w http.ResponseWriter, r *http.Request) { t.echo.ServeHTTP(w, r) }

func (t *troupe) Subscribe(w http.ResponseWriter, r *http.Request) { t.sub.ServeHTTP(w, r) }

func (t *troupe) Publish(b []byte) { _ = t.rt.Publish(topic, t.message(b)) }

func (t *troupe) Send(uid string, b []byte) { _ = t.rt.SendUID(uid, t.message(b)) }

func (t *troupe) message(b []byte) actors.Message {
	if t.text {
		return actors.Text(string(b))
	}
	return actors.Binary(b)
}

func (t *troupe) Close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // by force
	_ = t.rt.Stop(ctx)
}
