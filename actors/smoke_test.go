package actors

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"
	"strings"

	"github.com/troupe-actors/troupe/transport/transporttest"
)

func TestSmoke(t *testing.T) {
	for _, d := range []string{"poller", "goroutine"} {
		t.Run(d, func(t *testing.T) {
			cfg := Config{}
			if d == "goroutine" {
				cfg.Driver = DriverGoroutine
			}
			rt, err := Start(cfg)
			if err != nil {
				t.Fatal(err)
			}
			closed := make(chan Closed, 1)
			srv := httptest.NewServer(rt.Handler(Callbacks{
				Open:    func(c *Channel) { c.Send("hello"); c.Join("lobby") },
				Message: func(c *Channel, m Message) {
					if m.String() == "boom" { panic("boom") }
					if m.String() == "pub" { c.Publish("lobby", "published") ; return }
					c.Send(m) },
				Close:   func(c *Channel, e Closed) { closed <- e },
			}))
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			p, _, err := transporttest.DialPeer(ctx, strings.Replace(srv.URL, "http", "ws", 1))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Println(p.ReadMessage(ctx))
			p.WriteText("boom")
			p.WriteText("x")
			fmt.Println(p.ReadMessage(ctx))
			p.WriteText("pub")
			fmt.Println(p.ReadMessage(ctx))
			p.Close(1000, "bye")
			fmt.Println(p.ReadMessage(ctx))
			fmt.Println(<-closed)
			if err := rt.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			srv.Close()
			fmt.Printf("%+v\n", rt.Stats())
		})
	}
}
