package events

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/transport"
)

// ends are both ends of a tunnel's connection, and its number.
func ends(srv *Server) (transport.Link, *transport.MemoryConn, []byte) {
	link, conn := new(transport.Config).MemoryStream(transport.FramingStream, 0)
	return link, conn, binary.AppendUvarint(nil, srv.tunnels.add("b", conn))
}

// shut reports whether the client's end was closed.
func shut(conn *transport.MemoryConn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(-1))
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, net.ErrClosed)
}

func TestATunnelEnds(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, srv *Server){
		"nobody asks": func(t *testing.T, srv *Server) {
			_, conn, _ := ends(srv)
			time.Sleep(tunnelIdle - 1)
			if shut(conn) {
				t.Error("too early")
			}
			time.Sleep(2 * time.Nanosecond)
			if !shut(conn) {
				t.Error("it is open")
			}
		},
		"somebody asks": func(t *testing.T, srv *Server) {
			_, conn, id := ends(srv)
			for range 20 {
				if b, err := srv.pulled(t.Context(), id); string(b) != "\x01" || err != nil {
					t.Fatalf("%q, %v", b, err)
				}
			}
			if shut(conn) {
				t.Error("it is closed")
			}
			time.Sleep(tunnelIdle + 1)
			if !shut(conn) {
				t.Error("it is open")
			}
		},
		"who asks gives up": func(t *testing.T, srv *Server) {
			_, conn, id := ends(srv)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, err := srv.pulled(ctx, id); err == nil || !shut(conn) {
				t.Error(err, "it is open")
			}
		},
		"the node in between is gone": func(t *testing.T, srv *Server) {
			_, conn, _ := ends(srv)
			srv.tunnels.closeFrom("c")
			if shut(conn) {
				t.Error("it is closed")
			}
			srv.tunnels.closeFrom("b")
			if !shut(conn) {
				t.Error("it is open")
			}
		},
		"the client ends": func(t *testing.T, srv *Server) {
			_, conn, id := ends(srv)
			if b, err := srv.pushed(append(id, "said"...)); string(b) != "\x04" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			if b, err := srv.pushed(id); b != nil || err != nil || !shut(conn) {
				t.Error(b, err)
			}
			for _, f := range []func() ([]byte, error){
				func() ([]byte, error) { return srv.pulled(t.Context(), id) },
				func() ([]byte, error) { return srv.pushed(append(id, "more"...)) },
				func() ([]byte, error) { return srv.pushed(id) },
			} {
				if _, err := f(); !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
			}
		},
		"the session ends": func(t *testing.T, srv *Server) {
			link, _, id := ends(srv)
			if _, err := link.Begin(nil, -1); err != nil {
				t.Fatal(err)
			}
			if err := link.Queue(transport.NewPacket(transport.Text, []byte("bye"))); err != nil {
				t.Fatal(err)
			}
			link.Close(0, "")
			_ = link.Flush()
			link.CloseWrite()
			if b, err := srv.pulled(t.Context(), id); string(b) != "\x01bye" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			if b, err := srv.pulled(t.Context(), id); string(b) != "\x00" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		},
		"the session ends while the client talks": func(t *testing.T, srv *Server) {
			link, _, id := ends(srv)
			if err := link.Queue(transport.NewPacket(transport.Text, []byte("bye"))); err != nil {
				t.Fatal(err)
			}
			_ = link.Flush()
			link.Release()
			if b, err := srv.pushed(append(id, "said"...)); string(b) != "\x04" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			if b, err := srv.pulled(t.Context(), id); string(b) != "\x01bye" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		},
		"it is another life's": func(t *testing.T, srv *Server) {
			_, _, _ = ends(srv)
			_, _, id := ends(&Server{})
			if b, err := srv.pulled(t.Context(), id); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%q, %v", b, err)
			}
			if b, err := srv.pushed(id); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%q, %v", b, err)
			}
		},
		"nobody reads": func(t *testing.T, srv *Server) {
			_, _, id := ends(srv)
			said := append(id, make([]byte, 100<<10)...)
			if b, err := srv.pushed(said); count(b) != 64<<10 || err != nil {
				t.Errorf("%d, %v", count(b), err)
			}
			if b, err := srv.pushed(said); count(b) != 0 || err != nil {
				t.Errorf("%d, %v", count(b), err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &Server{}
				test(t, srv)
				for id := range srv.tunnels.open {
					srv.tunnels.close(id)
				}
				if n := len(srv.tunnels.open); n != 0 {
					t.Errorf("%d are left", n)
				}
			})
		})
	}
}

// What travels arrives as it was, and what is no errand is an error.
func TestErrandsAndReportsTravel(t *testing.T) {
	e := errand{Hello: &protocol.ClientHello{V: 1, Client: "tab", Session: "s", From: 7}, Known: true, UID: "ann", Expires: time.Unix(9, 0).UTC(), said: []byte("e x\n")}
	b, err := e.append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseErrand(b); err != nil || got.Hello.From != 7 || !got.Known || got.UID != "ann" || !got.Expires.Equal(e.Expires) || string(got.said) != "e x\n" {
		t.Errorf("%+v, %v", got, err)
	}
	did := report{Kept: 3, Refused: errNumbers, body: []byte("body")}
	b, err = did.append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseReport(b); err != nil || got.Kept != 3 || got.Refused.Code != "numbers" || string(got.body) != "body" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, b := range []string{"", "\x05", "\x01{", "\x02{}", "\x02[]"} {
		if _, err := parseErrand([]byte(b)); !errors.Is(err, errWire) {
			t.Errorf("%q: %v", b, err)
		}
	}
}

func FuzzErrand(f *testing.F) {
	srv := newPresence(f, Options{})
	for _, h := range []*protocol.ClientHello{{}, {Down: protocol.DownPoll}, {Session: key{}.String(), Secret: key{}.String(), Down: protocol.DownSSE}} {
		b, err := (&errand{Hello: h, said: []byte("a 1\n~AAAA\ne say 1")}).append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x02{}body"))
	f.Add([]byte("\x01said"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parseReport(b); err != nil && !errors.Is(err, errWire) {
			t.Error(err)
		}
		if b, err := srv.runFor(t.Context(), "b", b); err == nil {
			if did, err := parseReport(b); err != nil || did.Why != protocol.WhyExpired {
				t.Error(did, err)
			}
		}
		link, conn, _ := ends(srv)
		defer link.Release()
		_ = conn.Close()
		if _, err := srv.pulled(t.Context(), b); err == nil || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		if _, err := srv.pushed(b); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, errWire) {
			t.Error(err)
		}
	})
}
