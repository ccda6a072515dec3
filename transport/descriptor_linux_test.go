package transport_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// TestDescriptorsComeBack opens links that end in every way and counts what
// stays open when the server is closed.
func TestDescriptorsComeBack(t *testing.T) {
	for _, d := range drivers[1:] {
		t.Run(d.String(), func(t *testing.T) {
			cfg := transport.Config{Driver: d}
			if d == transport.DriverPoller {
				cfg.Poller = poller(t)
			}
			round := func() {
				links := make(chan transport.Link, 1)
				s := httptest.NewServer(handler(t, links, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
					return cfg.WebSocket(w, r, nil, "")
				}))
				defer s.Close()
				for _, end := range []func(p *transporttest.Peer) error{
					(*transporttest.Peer).Disconnect,
					(*transporttest.Peer).Reset,
					func(p *transporttest.Peer) error { return p.WriteRaw([]byte{0xff}) },
				} {
					o, p := accept(t, s.URL, links)
					end(p)
					o.next()
					o.link.Release()
					p.Disconnect()
				}
			}
			round() // what the runtime opens once
			before := descriptors(t)
			for range 20 {
				round()
			}
			// httptest closes idle connections in the background of Close; a leak
			// of ours would be 60.
			if after := descriptors(t); after > before+10 {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

func TestUnixSocket(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := transport.Config{Driver: transport.DriverPoller, Poller: poller(t)}
	links := make(chan transport.Link, 1)
	s := &http.Server{Handler: handler(t, links, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
		return cfg.Stream(w, r, transport.FramingStream, 0, nil)
	})}
	served := make(chan error)
	go func() { served <- s.Serve(listener) }()
	defer func() { s.Close(); <-served }()
	c, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	l := <-links
	defer l.Release()
	o := own(t, l)
	if l.RemoteAddr().Network() != "unix" || l.LocalAddr().String() != listener.Addr().String() {
		t.Error(l.RemoteAddr(), l.LocalAddr())
	}
	o.flush()
	c.Close()
	o.next()
}

// TestPollerFindsNothing: Wait that must not block returns at once.
func TestPollerFindsNothing(t *testing.T) {
	p, err := transport.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(false); err != nil {
		t.Error(err)
	}
	p.Dispatch()
	p.Close()
	for _, block := range []bool{true, false} {
		if err := p.Wait(block); err != transport.ErrPollerClosed {
			t.Error(block, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestPollerClosedBeforeStart: a link that nobody can watch any more says so.
func TestPollerClosedBeforeStart(t *testing.T) {
	p, err := transport.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	cfg := transport.Config{Poller: p}
	s, links := serve(t, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
		return cfg.Stream(w, r, transport.FramingStream, 0, nil)
	})
	rawGet(t, s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	l := <-links
	defer l.Release()
	p.Close()
	o := own(t, l)
	if in := o.next(); in.Kind != transport.KindEnd || in.Err == nil {
		t.Error(describe(in))
	}
}
