package events_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

// FuzzSession has a client say anything: each piece of what it is given is, by its
// first byte, a message of text or bytes on a WebSocket, or what is behind the hello of
// a POST; pieces end with a zero byte. The session lives or ends as the protocol says, no question is
// answered twice, and what it holds is bounded and given back.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"te a 1\x00tq 1 a 1\x00tq 1 a 1\x00ta 0",
		"tq 1 ask\x00tr 1 2\x00tx 1 {\"code\":\"no\"}\x00tc 1",
		"pe a 1\ne a 2\nq 3 a 3\x00te b\x00pe c",
		"pa 1\x00ta 9\x00be a \xff\xfe\x00p~ZSBhIAE=",
		"tb {\"code\":1000,\"end\":true}\x00pb {\"code\":3999,\"end\":true}",
		"tt \"token\"\x00tp\x00to\x00tg 1\x00th {}",
		"pq 1 crash\nq 2 crash\x00tq 3 beside 1\x00tc 3",
		strings.Repeat("te a 1\x00", 40),
		"p" + strings.Repeat("e a 1\n", 40),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		if len(said) > 16<<10 {
			return
		}
		actorstest.RunSeed(t, 1, actors.Config{Logger: slog.New(slog.DiscardHandler)}, func(sim *actorstest.Sim) {
			sim.AllowFailures()
			babble(t, sim, bytes.Split(said, []byte{0}))
		})
	})
}

func babble(t *testing.T, sim *actorstest.Sim, pieces [][]byte) {
	const window, windowBytes, most = 8, 1 << 10, 2 << 10
	o := events.Options{Window: window, WindowBytes: windowBytes, Logger: slog.New(slog.DiscardHandler)}
	o.Channel.MaxMessageBytes, o.Channel.MailboxMessages, o.Channel.MailboxBytes = most, 16, 8<<10
	srv, err := events.New(sim.Runtime(), events.Handlers{
		Attached: func(s *events.Session, _ events.Attached) {
			_ = events.AskThen(context.Background(), s, "ask", nil, func(any, error) {}) // there may be no room
		},
		Ping: func(s *events.Session) { _ = s.Send("pinged", nil) },
		Pong: func(s *events.Session) { _ = s.Send("ponged", nil) },
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	events.Reply(srv, "a", func(_ context.Context, v any) (any, error) { return v, nil })
	events.On(srv, "b", func(ctx context.Context, v any) error { return events.From(ctx).Send("b", v) })
	events.On(srv, "crash", func(context.Context, any) error { panic(errCrash) })
	events.Reply(srv, "beside", func(ctx context.Context, v any) (any, error) {
		_, err := events.Ask[any](ctx, events.From(ctx), "ask", v)
		return v, err
	}, events.Concurrent())
	sim.Serve(srv)
	sub, err := (&protocol.ClientHello{V: 1, Client: "a"}).Subprotocol()
	if err != nil {
		t.Fatal(err)
	}
	conn := sim.Dial()
	br, _, err := ws.Dialer{Protocols: []string{protocol.JSON, sub}}.Upgrade(conn, mustURL("http://troupe.test/"))
	if err != nil {
		t.Fatal(err)
	}
	var in io.Reader = conn
	if br != nil {
		in = br
	}
	first, err := wsutil.ReadServerText(struct {
		io.Reader
		io.Writer
	}{in, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	var hello protocol.ServerHello
	if err := json.Unmarshal(first[2:], &hello); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		listen(t, in)
	}()
	for _, piece := range pieces {
		if len(piece) == 0 {
			continue
		}
		switch kind, text := piece[0], piece[1:]; kind % 4 {
		case 't' % 4, 'b' % 4:
			op := ws.OpText
			if kind%4 == 'b'%4 {
				op = ws.OpBinary
			}
			_ = wsutil.WriteClientMessage(conn, op, text) // the session may have ended
		default:
			babblePost(t, sim, hello, uint64(kind/4%4), text)
		}
		if piece[0]&0x80 != 0 {
			sim.Wait()
		}
		if held := sim.Runtime().Stats().BytesWaiting; held > 64<<10 {
			t.Fatalf("%d bytes wait", held)
		}
	}
	sim.Wait()
	conn.Close()
	<-done
	time.Sleep(events.DefaultGrace + time.Minute)
	if n := srv.Len(); n > 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// listen looks at what the server says.
func listen(t *testing.T, in io.Reader) {
	answered := map[uint64]bool{}
	for {
		b, _, err := wsutil.ReadServerData(struct {
			io.Reader
			io.Writer
		}{in, io.Discard})
		if err != nil {
			return
		}
		m, err := protocol.Parse(b)
		if err != nil {
			t.Errorf("the server says %q: %v", b, err)
			return
		}
		switch m.Kind {
		case protocol.Answer, protocol.Failure:
			if bytes.Contains(m.Data, []byte(`"`+events.CodeDuplicate+`"`)) {
				continue // of another with its number
			}
			if answered[m.ID] {
				t.Errorf("question %d is answered again: %q", m.ID, b)
			}
			answered[m.ID] = true
		case protocol.Goodbye:
			var bye protocol.Bye
			if err := json.Unmarshal(m.Data, &bye); err != nil {
				t.Error(err)
			}
			if bye.Code == 1006 || bye.Code == 1011 {
				t.Errorf("ended with %q", b)
			}
		}
	}
}

func babblePost(t *testing.T, sim *actorstest.Sim, hello protocol.ServerHello, from uint64, text []byte) {
	h, err := json.Marshal(protocol.ClientHello{V: 1, Client: "a", Session: hello.Session, Secret: hello.Secret, Down: protocol.DownNone, From: from})
	if err != nil {
		t.Fatal(err)
	}
	conn := sim.Dial()
	defer conn.Close()
	r, err := http.NewRequest(http.MethodPost, "http://troupe.test/", strings.NewReader(fmt.Sprintf("h %s\n%s", h, text)))
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = r.Write(conn) // what is refused may not be read whole
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	conn.Close()
	<-sent
	switch resp.StatusCode {
	case http.StatusOK, http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable:
	default:
		t.Errorf("a POST was answered %s", resp.Status)
	}
}
