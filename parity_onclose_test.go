package troupe_test

import (
	"errors"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// Items 32 to 34: exactly once. That of a socket is TestPromise2ExactlyOneClose.
func TestParityOnClose(t *testing.T) {
	for _, way := range []struct {
		name  string
		opts  actors.Options
		end   func(s *stage, c *actors.Channel, leave func())
		cause supervisor.Cause
	}{
		{name: "local close", end: func(_ *stage, c *actors.Channel, _ func()) { c.Close() }, cause: supervisor.CauseLocalClosed},
		{name: "send with close", end: func(_ *stage, c *actors.Channel, _ func()) { _ = c.Send("last", actors.ThenClose()) }, cause: supervisor.CauseLocalClosed},
		{name: "client gone", end: func(_ *stage, _ *actors.Channel, leave func()) { leave() }, cause: supervisor.CauseConnectionLost},
		{name: "timeout", opts: actors.Options{MaxOpen: 1}, end: func(*stage, *actors.Channel, func()) {}, cause: supervisor.CauseMaxOpen},
		{name: "stopped", end: func(s *stage, _ *actors.Channel, _ func()) { s.end() }, cause: supervisor.CauseRuntimeStopped},
	} {
		t.Run("032 exactly once for a stream/"+way.name, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				open := make(chan *actors.Channel, 1)
				s := play(t, d, way.opts, actors.Callbacks{Open: func(c *actors.Channel) {
					_ = c.Send("open\n")
					open <- c
				}})
				resp := s.stream(s.srv.Client(), s.srv.URL, "*/*")
				_ = resp.line(t)
				c := get(t, open)
				way.end(s, c, resp.stop)
				get(t, c.Done())
				if e := s.onlyEnd(); e.Cause != way.cause {
					t.Errorf("ended by %v", e)
				}
			})
		})
	}
	t.Run("033 exactly once when registering races with the end", func(t *testing.T) {
		s := play(t, actors.DriverGoroutine, actors.Options{CloseTimeout: 1}, actors.Callbacks{})
		const n = 1000
		told := make(chan int, 2*n)
		for i := range n {
			link, p := transporttest.Pair(&transport.Config{}, 100)
			c, err := s.ep.Open(link, nil, "")
			must(t, err)
			go c.OnClose(func(actors.Closed) { told <- i })
			go func() {
				if i%2 == 0 {
					c.Close()
				}
				_ = p.Disconnect()
			}()
		}
		seen := map[int]bool{}
		for range n {
			seen[get(t, told)] = true
		}
		if s.end(); len(seen) != n || len(told) != 0 {
			t.Errorf("%d of %d were told, %d more calls", len(seen), n, len(told))
		}
	})
	t.Run("034 a close callback that comes late runs at once", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			open, cb := opening(1)
			s := play(t, d, actors.Options{}, cb)
			p := s.dial()
			c := get(t, open)
			must(t, p.Close(4321, "mine"))
			get(t, c.Done())
			var told []actors.Closed // by this goroutine: the race detector sees another
			for range 2 {
				c.OnClose(func(e actors.Closed) { told = append(told, e) })
			}
			for _, e := range told {
				if e.Code != 4321 || e.Reason != "mine" || e.Cause != supervisor.CausePeerClosed || e.Channel != c {
					t.Errorf("%+v", e)
				}
			}
			if len(told) != 2 {
				t.Errorf("told %d times", len(told))
			}
		})
	})
}

// Items 35 to 40: what close is told.
func TestParityClosed(t *testing.T) {
	t.Run("035 in close the channel is closed", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			ends := make(chan string, 3)
			open := make(chan *actors.Channel, 3)
			s := play(t, d, actors.Options{}, actors.Callbacks{
				Open: func(c *actors.Channel) { _ = c.Send("open\n"); open <- c },
				Close: func(c *actors.Channel, _ actors.Closed) {
					switch {
					case c.IsOpen():
						ends <- "open"
					case !errors.Is(c.Send("x"), actors.ErrClosed):
						ends <- "can be sent on"
					case c.Close():
						ends <- "can be closed"
					default:
						ends <- "closed"
					}
				},
			})
			p := s.dial()
			get(t, open)
			_ = p.Disconnect()
			resp := s.stream(s.srv.Client(), s.srv.URL, "*/*")
			_ = resp.line(t)
			get(t, open)
			resp.stop() // the client is gone: the same as for a socket
			_ = s.stream(s.srv.Client(), s.srv.URL, "*/*")
			get(t, open).Close()
			for range 3 {
				if got := get(t, ends); got != "closed" {
					t.Errorf("the channel is %s", got)
				}
			}
		})
	})
	for _, end := range []struct {
		name   string
		end    func(s *stage, c *actors.Channel, p *transporttest.Peer)
		code   uint16
		reason string
	}{
		{"036 038 the peer's code and reason", func(_ *stage, _ *actors.Channel, p *transporttest.Peer) { _ = p.Close(4321, "mäin") }, 4321, "mäin"},
		{"038 an empty close frame of the peer", func(_ *stage, _ *actors.Channel, p *transporttest.Peer) { _ = p.Close(0, "") }, 1005, ""},
		{"038 a local close", func(s *stage, c *actors.Channel, p *transporttest.Peer) { c.Close(); s.closes(p) }, 1000, ""},
		{"036 a local close with code and reason", func(s *stage, c *actors.Channel, p *transporttest.Peer) {
			_, err := c.CloseWith(4000, "ours")
			must(s, err)
			s.closes(p)
		}, 4000, "ours"},
		{"039 the end of the connection without a close frame", func(_ *stage, _ *actors.Channel, p *transporttest.Peer) { _ = p.Disconnect() }, 1006, ""},
		{"039 a reset", func(_ *stage, _ *actors.Channel, p *transporttest.Peer) { _ = p.Reset() }, 1006, ""},
	} {
		t.Run(end.name, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				open, cb := opening(1)
				s := play(t, d, actors.Options{}, cb)
				p := s.dial()
				c := get(t, open)
				end.end(s, c, p)
				get(t, c.Done())
				if e := s.onlyEnd(); e.Code != end.code || e.Reason != end.reason {
					t.Errorf("closed with %d %q", e.Code, e.Reason)
				}
			})
		})
	}
	t.Run("037 040 the end of a stream has no code and no reason", func(t *testing.T) {
		for name, end := range map[string]func(c *actors.Channel, leave func()){
			"server": func(c *actors.Channel, _ func()) { _, _ = c.CloseWith(4000, "for sockets") },
			"client": func(_ *actors.Channel, leave func()) { leave() },
		} {
			t.Run(name, func(t *testing.T) {
				onDrivers(t, func(t *testing.T, d transport.Driver) {
					open := make(chan *actors.Channel, 1)
					s := play(t, d, actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) { _ = c.Send("open\n"); open <- c }})
					resp := s.stream(s.srv.Client(), s.srv.URL, "*/*")
					_ = resp.line(t)
					c := get(t, open)
					end(c, resp.stop)
					get(t, c.Done())
					if e := s.onlyEnd(); e.Code != 0 || e.Reason != "" || e.Name() != name+"-close" {
						t.Errorf("%d %q %s", e.Code, e.Reason, e.Name())
					}
				})
			})
		}
	})
	t.Run("040 every status has a name", everyStatusHasAName)
}

func everyStatusHasAName(t *testing.T) {
	names := map[uint16]string{
		1000: "normal", 1001: "going-away", 1002: "protocol-error", 1003: "unsupported", 1005: "no-status-received",
		1006: "abnormal", 1007: "invalid-payload-data", 1008: "policy-violation", 1009: "message-too-big",
		1010: "mandatory-extension", 1011: "internal-server-error", 1015: "tls-handshake",
	}
	for code, want := range names { // TestCodeNamesAndWhatMayBeSent has the codes registered since
		if got := (actors.Closed{Cause: supervisor.CausePeerClosed, Code: code}).Name(); got != want {
			t.Errorf("%d is %q, want %q", code, got, want)
		}
	}
	for cause := range supervisor.Causes() { // of a stream
		want := "server-close"
		if cause == supervisor.CausePeerClosed || cause == supervisor.CauseConnectionLost {
			want = "client-close"
		}
		if got := (actors.Closed{Cause: cause}).Name(); got != want {
			t.Errorf("%v of a stream is %q, want %q", cause, got, want)
		}
	}
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		ends := make(chan string, 1)
		s := play(t, d, actors.Options{}, actors.Callbacks{
			Open:  func(c *actors.Channel) { _ = c.Send("open") },
			Close: func(_ *actors.Channel, e actors.Closed) { ends <- e.Name() },
		})
		for code, want := range names {
			p := s.dial()
			_ = s.read(p)
			switch code {
			case 1006:
				_ = p.Disconnect()
			case 1015: // no peer may say so
				must(t, p.Close(4321, ""))
				want = "unknown"
			default:
				must(t, p.Close(code, ""))
			}
			if got := get(t, ends); got != want {
				t.Errorf("%d is %q, want %q", code, got, want)
			}
		}
	})
}
