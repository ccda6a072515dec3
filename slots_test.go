package troupe_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"

	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// ways are the ways in which a request may come to no channel, or to a short one.
// What they ask of the server is in their query; see slots.
var ways = []string{
	"", "", "", // a channel, which its client leaves in order or without a word
	"authorize=refuse", "authorize=panic",
	"prepare=panic", "prepare=bad", "prepare=close", "prepare=rename", "prepare=stop",
	"open=panic", "open=kick", "open=rename", "open=stop",
	"writer=panic", "writer=fail",
}

// slots is a server with few places, whose application does what a query says.
type slots struct {
	*stage
	mu    sync.Mutex
	now   map[string]int // channels whose Close has not run
	worst map[string]int
}

const (
	mostInAll   = 12
	mostPerUID  = 4
	mostPerIP   = 3
	slotUsers   = 4
	slotClients = 5
)

// slotNet is the address, and the network, of a client: odd ones have IPv6.
func slotNet(i int) (addr, net string) {
	if i%2 == 1 {
		return fmt.Sprintf("2001:db8:0:%d::%x", i, rand.Uint32N(1<<16)), fmt.Sprintf("2001:db8:0:%d::/64", i)
	}
	return fmt.Sprintf("192.0.2.%d", i), fmt.Sprintf("192.0.2.%d/32", i)
}

func (s *slots) count(c *actors.Channel, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	net, _ := c.Value("net").(string)
	for _, key := range []string{"all", "uid " + c.UID(), "net " + net} {
		s.now[key] += n
		s.worst[key] = max(s.worst[key], s.now[key])
	}
}

func newSlots(t *testing.T, d transport.Driver) *slots {
	s := &slots{stage: &stage{T: t}, now: map[string]int{}, worst: map[string]int{}}
	asks := func(r *http.Request, what string) bool { return strings.Contains(r.URL.RawQuery, what) }
	var err error
	s.rt, err = actors.Start(actors.Config{
		Driver: d, Logger: slog.New(slog.DiscardHandler), TrustedProxies: localhost,
		MaxChannels: mostInAll, MaxPerUID: mostPerUID, MaxPerIP: mostPerIP,
		Options: actors.Options{
			Intensity: supervisor.Intensity{Max: -1}, CloseTimeout: 50 * time.Millisecond,
			Authorize: func(w http.ResponseWriter, r *http.Request) (string, bool) {
				if asks(r, "authorize=panic") {
					panic(http.ErrAbortHandler) // which net/http does not log
				}
				return byQuery(w, r)
			},
			Prepare: func(c *actors.Channel, h *actors.Head) {
				r := c.Request()
				c.Set("net", r.URL.Query().Get("net"))
				switch {
				case asks(r, "prepare=panic"):
					panic(http.ErrAbortHandler)
				case asks(r, "prepare=bad"):
					h.Subprotocol = "no token"
				case asks(r, "prepare=close"):
					c.Close()
				case asks(r, "prepare=stop"):
					s.rt.System().Root.Stop(c.PID())
				case asks(r, "prepare=rename"):
					r.RemoteAddr = "198.51.100.1:1"
				}
			},
		},
	})
	must(t, err)
	s.ep = s.rt.Handler(actors.Callbacks{
		Open: func(c *actors.Channel) {
			s.count(c, 1)
			switch r := c.Request(); {
			case asks(r, "open=panic"):
				panic("as it was told")
			case asks(r, "open=kick"):
				c.Kick("as it was told")
			case asks(r, "open=stop"):
				s.rt.System().Root.Stop(c.PID())
			case asks(r, "open=rename"):
				r.RemoteAddr = "198.51.100.1:1"
			}
		},
		Close: func(c *actors.Channel, _ actors.Closed) { s.count(c, -1) },
	})
	s.srv = serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case asks(r, "authorize=refuse"):
			r.URL.RawQuery = "" // and the origin does it
			r.Header.Set("Origin", "https://evil.example")
		case asks(r, "writer="):
			w = brokenWriter{w, asks(r, "writer=panic")}
		}
		s.ep.ServeHTTP(w, r)
	}))
	s.url = "ws" + strings.TrimPrefix(s.srv.URL, "http")
	t.Cleanup(s.end)
	return s
}

// brokenWriter is middleware's, and cannot be hijacked.
type brokenWriter struct {
	http.ResponseWriter
	panics bool
}

func (b brokenWriter) WriteHeader(status int) {
	if b.panics {
		panic(http.ErrAbortHandler)
	}
	b.ResponseWriter.WriteHeader(status)
}

func (b brokenWriter) Write(p []byte) (int, error) { return 0, errors.New("as it was told") }

// live is one client's life: it asks for something, at random, and leaves at a
// random moment.
func (s *slots) live(r *rand.Rand) {
	addr, network := slotNet(r.IntN(slotClients))
	query := fmt.Sprintf("uid=%d&net=%s&%s", r.IntN(slotUsers), network, ways[r.IntN(len(ways))])
	kind := []string{upgrading, upgrading, upgrading, "Accept: text/event-stream\r\n", "Accept: */*\r\n"}[r.IntN(5)]
	request := "GET /?" + query + " HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " + addr + "\r\n" + kind + "\r\n"
	conn, err := net.Dial("tcp", s.srv.Listener.Addr().String())
	if err != nil {
		s.Error(err)
		return
	}
	defer conn.Close()
	if r.IntN(4) == 0 { // a reset in place of an orderly end
		_ = conn.(*net.TCPConn).SetLinger(0)
	}
	if r.IntN(5) == 0 {
		request = request[:r.IntN(len(request))]
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return
	}
	for range r.IntN(3) {
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1+r.IntN(300))); err != nil {
			return
		}
	}
}

// fills takes every place there is, for one limit at a time, and no place more.
func (s *slots) fills() {
	s.Helper()
	for i := range slotClients {
		addr, network := slotNet(i)
		var taken []*transporttest.Peer
		for n := range mostPerIP {
			taken = append(taken, s.comesIn(fmt.Sprintf("%s/%d&net=%s", addr, n, network), addr))
		}
		if _, resp := s.tries("one-more", addr); resp.StatusCode != 429 {
			s.Errorf("one more of %s: %s", addr, resp.Status)
		}
		leave(taken)
	}
	for uid := range slotUsers {
		var taken []*transporttest.Peer
		for n := range mostPerUID {
			taken = append(taken, s.comesIn(fmt.Sprint(uid), fmt.Sprintf("203.0.113.%d", n)))
		}
		if _, resp := s.tries(fmt.Sprint(uid), "203.0.113.200"); resp.StatusCode != 429 {
			s.Errorf("one more of user %d: %s", uid, resp.Status)
		}
		leave(taken)
	}
	var taken []*transporttest.Peer
	for n := range mostInAll {
		taken = append(taken, s.comesIn(fmt.Sprint("somebody", n), fmt.Sprintf("203.0.113.%d", n)))
	}
	if _, resp := s.tries("one-more", "203.0.113.200"); resp.StatusCode != 503 {
		s.Errorf("one more in all: %s", resp.Status)
	}
	leave(taken)
}

func leave(peers []*transporttest.Peer) {
	for _, p := range peers {
		_ = p.Disconnect()
	}
}

// However handshakes fail, are refused or are broken off, and whatever the
// application makes of them, a place is taken once and given back once. With
// TROUPE_SLOTS there are so many clients on each driver.
func TestNoSlotIsLost(t *testing.T) {
	lives := int64(fromEnv(t, "TROUPE_SLOTS", 1500))
	seed := fromEnv(t, "TROUPE_SEED", uint64(time.Now().UnixNano()))
	t.Logf("TROUPE_SEED=%d (the moments are the system's)", seed)
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		s := newSlots(t, d)
		var n atomic.Int64
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() {
				for r := rand.New(rand.NewPCG(seed, uint64(i))); n.Add(1) <= lives; {
					s.live(r)
				}
			})
		}
		wg.Wait()
		s.fills()
		s.mu.Lock()
		defer s.mu.Unlock()
		for key, worst := range s.worst {
			most := mostInAll
			switch {
			case strings.HasPrefix(key, "uid "):
				most = mostPerUID
			case strings.HasPrefix(key, "net ") && key != "net ":
				most = mostPerIP
			}
			if worst > most {
				t.Errorf("%s: %d at once, %d allowed", key, worst, most)
			}
		}
		if st := s.rt.Stats(); st.Opened < 20 || st.Refused < 20 {
			t.Errorf("too little has happened: %d opened, %d refused", st.Opened, st.Refused)
		}
	})
}

// The place of a channel whose handler cannot be made is given back, once.
func TestNoSlotForAHandlerThatCannotBeMade(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	s, _ := playWith(t, actors.Config{MaxChannels: 1, MaxPerUID: 1, MaxPerIP: 1, Options: actors.Options{Authorize: byQuery}},
		actors.FromHandler(func() actors.Handler {
			if broken.Load() {
				panic("as it was told")
			}
			return actors.Base{}
		}))
	for range 5 {
		if _, resp := s.tries("ann", ""); resp.StatusCode != 500 {
			t.Errorf("no handler: %s", resp.Status)
		}
	}
	broken.Store(false)
	if p, resp := s.tries("ann", ""); p == nil {
		t.Errorf("the place is lost: %s", resp.Status)
	}
	if _, resp := s.tries("bob", ""); resp.StatusCode != 503 {
		t.Errorf("there are two places: %s", resp.Status)
	}
}
