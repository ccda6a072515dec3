//go:build linux

package peertest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// A client that goes without a word is missed behind a proxy, too, whatever it was
// doing.
func TestAClientThatGoesIsMissedBehindNginx(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind)
		n := newNginx(s)
		gone := func(t *testing.T, path string) {
			t.Helper()
			if e := s.left(t, path); e.Name() != "client-close" && e.Cause != supervisor.CauseConnectionLost {
				t.Errorf("%s ends with %v", path, e)
			}
		}
		for name, front := range fronts(n) {
			t.Run("a WebSocket, "+name, func(t *testing.T) {
				for _, leave := range []func(*transporttest.Peer) error{(*transporttest.Peer).Disconnect, (*transporttest.Peer).Reset} {
					p := dial(t, front+"/echo")
					if err := p.WriteText("hello"); err != nil {
						t.Fatal(err)
					}
					if _, _, err := p.ReadMessage(bounded(t)); err != nil {
						t.Fatal(err)
					}
					if err := leave(p); err != nil {
						t.Fatal(err)
					}
					gone(t, "/echo")
				}
			})
		}
		for name, v := range versions(n) {
			for what, path := range map[string]string{
				"events":             "/on/clock?key=K",
				"an unbuffered one":  "/off/clock?key=K",
				"a held poll":        "/on/poll?key=K",
				"a download":         "/off/big?bytes=1000000000",
				"a buffered, zipped": "/zip/big?bytes=1000000000",
			} {
				t.Run(name+", "+what, func(t *testing.T) {
					ctx, cancel := context.WithCancel(bounded(t))
					r, err := http.NewRequestWithContext(ctx, "GET", v.url+path, nil)
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("Accept-Encoding", "gzip")
					if what == "events" {
						r.Header.Set("Accept", "text/event-stream")
					}
					came := make(chan error, 1)
					go func() {
						res, err := browserlike(t, v.h2).Do(r)
						if err == nil {
							_, err = io.ReadFull(res.Body, make([]byte, 1))
							defer res.Body.Close()
						}
						came <- err
					}()
					path := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/'):]
					s.arrived(t, path)
					if path != "/poll" {
						if err := wait(t, came, "the first byte"); err != nil {
							t.Fatal(err)
						}
					}
					cancel()
					gone(t, path)
				})
			}
		}
	})
}

// An nginx that is stopped, or loads its configuration anew, under load: every
// channel hears of its end once, and who comes again is let in.
func TestNginxStopsAndReloadsUnderLoad(t *testing.T) {
	const each = 60 // clients of each kind
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind)
		n := newNginx(s)
		client := browserlike(t, false)
		client.Transport.(*http.Transport).DisableKeepAlives = true
		for round, end := range []func(){n.stop, func() { n.signal(syscall.SIGHUP) }, n.stop} {
			if n.process == nil {
				n.start()
			}
			var all, ready sync.WaitGroup
			for i := range each {
				ready.Add(2)
				all.Go(func() { chatter(t, n.plain+"/echo", &ready) })
				all.Go(func() { listen(t, client, fmt.Sprintf("%s/clock?key=%d-%d", n.secure, round, i), &ready) })
			}
			ready.Wait() // all are talking
			end()
			all.Wait() // a worker that is not wanted any more ends what it has in 2 s
			for range each {
				for _, path := range []string{"/echo", "/clock"} {
					if e := s.left(t, path); e.Cause != supervisor.CauseConnectionLost && e.Cause != supervisor.CausePeerClosed {
						t.Errorf("%s ends with %v", path, e)
					}
				}
			}
		}
		n.start()
		if got := do(t, client, n.plain+"/say?say=back"); got != "back" {
			t.Errorf("nginx says %q", got)
		}
	})
}

// chatter echoes until the connection ends.
func chatter(t *testing.T, url string, ready *sync.WaitGroup) {
	var once sync.Once
	defer once.Do(ready.Done)
	p, _, err := transporttest.DialPeer(bounded(t), url)
	if err != nil {
		t.Error(err)
		return
	}
	defer p.Disconnect()
	ctx := bounded(t)
	for n := 0; p.WriteText("chat") == nil; n++ {
		if _, _, err := p.ReadMessage(ctx); err != nil {
			break
		}
		if n == 10 {
			once.Do(ready.Done)
		}
	}
	if ctx.Err() != nil {
		t.Error("the connection does not end")
	}
}

// listen hears events until the connection ends.
func listen(t *testing.T, client *http.Client, url string, ready *sync.WaitGroup) {
	var once sync.Once
	defer once.Do(ready.Done)
	ctx := bounded(t)
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Error(err)
		return
	}
	r.Header.Set("Accept", "text/event-stream")
	res, err := client.Do(r)
	if err != nil {
		t.Error(err)
		return
	}
	defer res.Body.Close()
	if _, err := res.Body.Read(make([]byte, 1)); err == nil {
		once.Do(ready.Done)
		_, _ = io.Copy(io.Discard, res.Body) // whatever ends it
	}
	if ctx.Err() != nil {
		t.Error("the stream does not end")
	}
}
