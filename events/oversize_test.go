package events_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
)

// A client that said too much would say it again on every connection.
func TestATooLargeMessageEndsTheSession(t *testing.T) {
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Stop(context.Background())
	ended := make(chan actors.Closed, 1)
	srv, err := events.New(rt, events.Handlers{
		Close: func(_ *events.Session, e actors.Closed) { ended <- e },
	}, events.Options{Channel: actors.Options{MaxMessageBytes: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(srv)
	defer web.Close()
	sub, err := (&protocol.ClientHello{V: 1, Client: "a"}).Subprotocol()
	if err != nil {
		t.Fatal(err)
	}
	c, br, _, err := ws.Dialer{Protocols: []string{protocol.JSON, sub}}.Dial(t.Context(), strings.Replace(web.URL, "http", "ws", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := wsutil.WriteClientText(c, bytes.Repeat([]byte{'x'}, 1001)); err != nil {
		t.Fatal(err)
	}
	in := conn(c, br)
	for heard := ""; !strings.HasPrefix(heard, `b {"code":1009`); {
		b, err := wsutil.ReadServerText(in)
		if err != nil {
			t.Fatalf("after %q: %v", heard, err)
		}
		heard = string(b)
	}
	c.Close()
	if e := <-ended; e.Cause != supervisor.CauseMessageTooBig {
		t.Errorf("it ended by %v", e.Cause)
	}
}
