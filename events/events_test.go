package events_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

type say struct{ Text string }

func TestFirst(t *testing.T) {
	rt, err := actors.Start(actors.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Stop(context.Background())
	srv, err := events.New(rt, events.Handlers{
		Open:     func(s *events.Session) { _, _ = s.Join("lobby"); t.Log("open", s.ID()) },
		Attached: func(s *events.Session, a events.Attached) { t.Logf("attached %+v", a) },
		Detached: func(s *events.Session, a events.Detached) { t.Logf("detached %+v", a) },
		Close:    func(s *events.Session, e actors.Closed) { t.Log("close", e) },
	}, events.Options{})
	if err != nil {
		t.Fatal(err)
	}
	events.On(srv, "say", func(ctx context.Context, d say) error {
		return events.From(ctx).Publish("lobby", "said", d)
	})
	events.Reply(srv, "twice", func(ctx context.Context, d say) (say, error) {
		return say{d.Text + d.Text}, nil
	})
	web := httptest.NewServer(srv)
	defer web.Close()

	hello := &protocol.ClientHello{V: 1, Client: "a"}
	sub, _ := hello.Subprotocol()
	c, br, _, err := ws.Dialer{Protocols: []string{protocol.JSON, sub}}.Dial(t.Context(), strings.Replace(web.URL, "http", "ws", 1))
	if err != nil {
		t.Fatal(err)
	}
	rw := conn(c, br)
	read := func() string {
		b, err := wsutil.ReadServerText(rw)
		if err != nil {
			t.Fatal(err)
		}
		t.Log("<-", string(b))
		return string(b)
	}
	var h protocol.ServerHello
	if err := json.Unmarshal([]byte(read()[2:]), &h); err != nil {
		t.Fatal(err)
	}
	wsutil.WriteClientText(c, []byte(`e say {"Text":"hi"}`))
	wsutil.WriteClientText(c, []byte(`q 1 twice {"Text":"hi"}`))
	read()
	read()
	c.Close()
	first := "true"
	post := func(down, body string, from, received string) string {
		r, err := http.Post(web.URL, "text/plain", strings.NewReader(`h {"v":1,"client":"a","session":"`+h.Session+`","secret":"`+h.Secret+`","down":"`+down+`","first":`+first+`,"from":`+from+`,"received":`+received+"}\n"+body))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		t.Log(r.Status, string(b))
		return string(b)
	}
	post("none", "e say {\"Text\":\"again\"}\ne say {\"Text\":\"more\"}", "2", "1")
	post("poll", "", "4", "1")
	first = "false"
	post("poll", "", "4", "2")
	post("poll", "b {\"code\":1000,\"end\":true}", "4", "4")
}

func conn(c net.Conn, br *bufio.Reader) io.ReadWriter {
	if br == nil {
		return c
	}
	return struct {
		io.Reader
		io.Writer
	}{br, c}
}
