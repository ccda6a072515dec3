package actorstest_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// talk says everything to everybody, with the name of who said it.
var talk = actors.Callbacks{
	Open: func(c *actors.Channel) {
		c.Join("room")
		c.WatchPresence("room")
		c.Send("hello " + c.UID())
	},
	Message: func(c *actors.Channel, m actors.Message) {
		if m.String() == "boom" {
			panic("boom")
		}
		c.Publish("room", c.UID()+": "+m.String())
	},
	Receive: func(c *actors.Channel, ctx actor.Context) {
		if p, ok := ctx.Message().(*actors.Presence); ok && !p.Online {
			c.Send(p.UID + " left")
		}
	},
	Restarted: func(c *actors.Channel, _ actors.Restarted) { c.Send("sorry") },
}

func authorize(_ http.ResponseWriter, r *http.Request) (string, bool) {
	if cookie, err := r.Cookie("user"); err == nil {
		return cookie.Value, true
	}
	uid := r.FormValue("user")
	return uid, uid != ""
}

// routes is an application of its own.
func routes(t testing.TB, rt *actors.Runtime) http.Handler {
	t.Helper()
	ep, err := rt.Endpoint(actors.Options{Authorize: authorize}, talk)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /chat", ep)
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "user", Value: r.FormValue("user")})
	})
	return mux
}

func inRoom(t *testing.T, cfg actors.Config, test func(s *actorstest.Sim)) {
	t.Helper()
	actorstest.Run(t, cfg, func(s *actorstest.Sim) {
		s.Serve(routes(s, s.Runtime()))
		test(s)
	})
}

func TestClientsHearEachOther(t *testing.T) {
	inRoom(t, actors.Config{}, func(s *actorstest.Sim) {
		ann, bob := s.Connect("/chat?user=ann"), s.Connect("/chat?user=bob")
		ann.Expect("hello ann")
		bob.Expect("hello bob")
		ann.Send("hi")
		ann.Expect("ann: hi")
		bob.Expect("ann: hi")
		ann.ExpectNothing()

		ann.Close(4000, "bye")
		ann.ExpectClose(4000)
		if err := ann.ExpectEnd(); err != nil {
			t.Error(err)
		}
		if e := ann.ExpectClosed(supervisor.CausePeerClosed); e.Reason != "bye" || e.UID != "ann" {
			t.Errorf("closed: %+v", e)
		}
		bob.ExpectNothing() // she may be reloading the page
		s.Advance(actors.DefaultPresenceGrace)
		bob.Expect("ann left")
	})
}

func TestTheHandlersOfAnApplicationAreInThePicture(t *testing.T) {
	inRoom(t, actors.Config{Options: actors.Options{KeepHeader: []string{"X-Client"}}}, func(s *actorstest.Sim) {
		if resp := s.ExpectRefused(http.StatusForbidden, "/chat"); resp.StatusCode != 403 {
			t.Error(resp.Status)
		}
		if e := actorstest.ExpectEvent[supervisor.Refused](s); e.Status != 403 {
			t.Errorf("%+v", e)
		}
		s.ExpectRefused(http.StatusNotFound, "/nowhere")

		resp, err := s.HTTP().Post("http://troupe.test/login?user=eve", "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		eve := s.Connect("/chat", actorstest.Cookie("user", resp.Cookies()[0].Value), actorstest.Header("X-Client", "7"))
		eve.Expect("hello eve")
		if got := eve.Channel().Request().Header.Get("X-Client"); got != "7" {
			t.Errorf("the header is %q", got)
		}
		s.Connect("/chat?user=eve", actorstest.From("2001:db8::7"))
		if got := eve.Channel().Request().RemoteAddr; !strings.HasPrefix(got, "198.51.100.1:") {
			t.Errorf("the address is %q", got)
		}
	})
}

func TestStreamsAndEvents(t *testing.T) {
	inRoom(t, actors.Config{}, func(s *actorstest.Sim) {
		events := s.ConnectEvents("/chat?user=eve", actorstest.Split())
		stream := s.ConnectStream("/chat?user=sam", actorstest.Split())
		events.Expect("hello eve")
		stream.Expect("hello sam")
		if err := s.Runtime().Publish("room", actors.Event{ID: "7", Event: "news", Data: []byte("a\nb")}); err != nil {
			t.Error(err)
		}
		if m := events.Next(); m != (actorstest.Message{Data: "a\nb", Event: "news", ID: "7"}) {
			t.Errorf("got %+v", m)
		}
		stream.Expect("a\n", "b")
		if got := stream.Response().Header.Get("Content-Type"); !strings.HasPrefix(got, "text/html") {
			t.Errorf("the type is %q", got)
		}
		stream.Channel().Close()
		if err := stream.ExpectEnd(); err != nil {
			t.Error(err)
		}
		stream.ExpectClosed(supervisor.CauseLocalClosed)
		events.HangUp()
		events.ExpectClosed(supervisor.CauseConnectionLost)
	})
}

func TestAPostIsAStreamToo(t *testing.T) {
	actorstest.Run(t, actors.Config{}, func(s *actorstest.Sim) {
		s.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			c, err := s.Runtime().Handler(actors.Callbacks{}).Accept(w, r, "")
			if err != nil {
				t.Error(err)
				return
			}
			c.Send("you said "+string(body), actors.ThenClose())
		}))
		c := s.ConnectStream("/", actorstest.Method("POST", "this"))
		c.Expect("you said this")
		if err := c.ExpectEnd(); err != nil {
			t.Error(err)
		}
	})
}

// A goroutine writes our pings: they are under way for a moment, as data is.
func TestPingsOfOursKeepNoIdleChannelOpen(t *testing.T) {
	cfg := actors.Config{Options: actors.Options{IdleTimeout: time.Hour}}
	inRoom(t, cfg, func(s *actorstest.Sim) {
		ann := s.Connect("/chat?user=ann")
		ann.Expect("hello ann")
		s.Advance(time.Hour - time.Second)
		if !ann.Channel().IsOpen() {
			t.Error("closed too early")
		}
		s.Advance(2 * time.Second)
		ann.ExpectClose(1001)
		ann.ExpectClosed(supervisor.CauseIdleTimeout)
	})
}

func TestASilentPartitionIsFound(t *testing.T) {
	inRoom(t, actors.Config{}, func(s *actorstest.Sim) {
		ann := s.Connect("/chat?user=ann")
		ann.Expect("hello ann")
		ann.Vanish()
		ann.Send("lost")
		s.Advance(actors.DefaultPingInterval)
		s.Advance(actors.DefaultPongTimeout + time.Second)
		ann.ExpectClosed(supervisor.CausePongTimeout)
	})
}

func TestAPartitionThatHealsLosesNothing(t *testing.T) {
	inRoom(t, actors.Config{}, func(s *actorstest.Sim) {
		ann, bob := s.Connect("/chat?user=ann"), s.Connect("/chat?user=bob")
		ann.Expect("hello ann")
		bob.Expect("hello bob")
		ann.Vanish()
		ann.Send("late")
		bob.ExpectNothing()
		s.Advance(20 * time.Second)
		bob.ExpectNothing()
		ann.Resume()
		bob.Expect("ann: late")
		ann.Expect("ann: late")
	})
}

func TestAStalledReaderIsSlow(t *testing.T) {
	cfg := actors.Config{Options: actors.Options{MailboxMessages: 4}}
	inRoom(t, cfg, func(s *actorstest.Sim) {
		ann, bob := s.Connect("/chat?user=ann", actorstest.Buffer(200)), s.Connect("/chat?user=bob")
		ann.Expect("hello ann")
		bob.Expect("hello bob")
		ann.Stall()
		for range 40 {
			bob.Send(strings.Repeat("x", 100))
			bob.Next()
			s.Advance(100 * time.Millisecond)
		}
		s.Advance(actors.DefaultCloseTimeout) // it takes no goodbye either
		ann.ExpectClosed(supervisor.CauseSlowConsumer)
		bob.ExpectNothing()
	})
}

func TestASlowLinkDeliversAtItsSpeed(t *testing.T) {
	inRoom(t, actors.Config{}, func(s *actorstest.Sim) {
		ann := s.Connect("/chat?user=ann", actorstest.Slow(100), actorstest.Buffer(50))
		ann.Expect("hello ann")
		began := time.Now()
		if err := s.Runtime().Publish("room", strings.Repeat("x", 80)); err != nil {
			t.Error(err)
		}
		ann.Expect(strings.Repeat("x", 80))
		if took := time.Since(began); took < 500*time.Millisecond || took > time.Second {
			t.Errorf("80 bytes took %v at 100 a second", took)
		}
	})
}

func TestLinksBreak(t *testing.T) {
	inRoom(t, actors.Config{}, func(s *actorstest.Sim) {
		for n := range 50 {
			ann := s.Connect("/chat?user=ann", actorstest.Split())
			ann.Expect("hello ann")
			if n == 0 {
				ann.Break()
			} else {
				ann.BreakWithin(20) // within what follows
				ann.Send("0123456789abcdef")
			}
			ann.ExpectClosed(supervisor.CauseConnectionLost)
			if err := func() error { _ = drained(ann); return ann.ExpectEnd() }(); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the client saw %v", err)
			}
		}
	})
}

// drained passes over what a client got.
func drained(c *actorstest.Client) int {
	n := 0
	for ; c.Waiting() > 0; n++ {
		c.Next()
	}
	return n
}

func TestAHandlerCrashesAndTheLinkStays(t *testing.T) {
	inRoom(t, actors.Config{}, func(s *actorstest.Sim) {
		ann := s.Connect("/chat?user=ann")
		ann.Expect("hello ann")
		ann.Crash()
		ann.Expect("sorry")
		ann.Send("boom")
		ann.Expect("sorry")
		if e := actorstest.ExpectEvent[supervisor.HandlerFailed](s); e.Reason != "boom" {
			t.Errorf("%+v", e)
		}
		ann.Send("hi")
		ann.Expect("ann: hi")
		ann.Crash()
		ann.Crash()
		ann.Expect("sorry")
		ann.ExpectClose(1011)
		ann.ExpectClosed(supervisor.CauseHandlerFailed)
	})
}

func TestAHandlerHangsAndIsReplaced(t *testing.T) {
	inRoom(t, actors.Config{Workers: 1}, func(s *actorstest.Sim) {
		ann, bob := s.Connect("/chat?user=ann"), s.Connect("/chat?user=bob")
		ann.Expect("hello ann")
		bob.Expect("hello bob")
		ann.Hang(time.Hour)
		ann.Send("hi")
		bob.Send("still here")
		bob.Expect("bob: still here")
		s.Advance(actors.DefaultHandlerDeadline)
		ann.Expect("bob: still here", "sorry", "ann: hi")
	})
}

func TestAStormOfTheSameUser(t *testing.T) {
	const most = 5
	inRoom(t, actors.Config{MaxPerUID: most}, func(s *actorstest.Sim) {
		clients := s.Storm(100, "/chat?user=ann", actorstest.Split())
		if len(clients) != most {
			t.Errorf("%d got in, want %d", len(clients), most)
		}
		for _, c := range s.Storm(100, "/chat?user=bob", actorstest.CutWithin(600)) {
			_ = c // some got in and lost their link, or none
		}
		s.Wait()
		for _, c := range clients {
			c.HangUp()
			c.ExpectClosed(supervisor.CauseConnectionLost)
		}
		s.Connect("/chat?user=ann")
	})
}

func TestCompression(t *testing.T) {
	cfg := actors.Config{Options: actors.Options{Compression: actors.Compression{Enabled: true, ServerTakeover: true, ClientTakeover: true, MinBytes: 1}}}
	inRoom(t, cfg, func(s *actorstest.Sim) {
		ann := s.Connect("/chat?user=ann", actorstest.Compressed(), actorstest.Split())
		ann.Expect("hello ann")
		for range 5 {
			text := strings.Repeat("again and ", 50)
			ann.Send(text)
			ann.Expect("ann: " + text)
		}
	})
}

func TestAClientThatBreaksRules(t *testing.T) {
	inRoom(t, actors.Config{}, func(s *actorstest.Sim) {
		ann := s.Connect("/chat?user=ann", actorstest.Mute())
		ann.Expect("hello ann")
		ann.SendRaw(transporttest.Encode(ws.NewFrame(ws.OpContinuation, true, nil)))
		ann.ExpectClose(1002)
		s.Advance(actors.DefaultCloseTimeout) // it does not answer
		ann.ExpectClosed(supervisor.CauseProtocolError)
	})
}

func TestTheRuntimeMayStopInTheMiddle(t *testing.T) {
	inRoom(t, actors.Config{}, func(s *actorstest.Sim) {
		ann := s.Connect("/chat?user=ann")
		ann.Expect("hello ann")
		if err := s.Server().Stop(s.Context()); err != nil {
			t.Error(err)
		}
		ann.ExpectClose(1001)
		ann.ExpectClosed(supervisor.CauseDrained)
	})
}

func TestABareConnection(t *testing.T) {
	inRoom(t, actors.Config{}, func(s *actorstest.Sim) {
		c := s.Dial(actorstest.Split())
		if _, err := io.WriteString(c, "GET /chat HTTP/1.1\r\n\r\n"); err != nil { // without a Host
			t.Error(err)
		}
		if got, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 400 ") {
			t.Errorf("%q, %v", got, err)
		}
	})
}
