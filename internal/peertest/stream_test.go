//go:build linux

package peertest

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// body is a response that is read as it comes.
type body struct {
	*http.Response
	r *bufio.Reader
}

func get(t *testing.T, client *http.Client, url, accept string) *body {
	t.Helper()
	r, err := http.NewRequestWithContext(bounded(t), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	if strings.Contains(url, "/zip/") {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", url, res.Status)
	}
	if res.Header.Get("Content-Encoding") != "gzip" {
		return &body{res, bufio.NewReader(res.Body)}
	}
	zip, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &body{res, bufio.NewReader(zip)}
}

// until reads up to a line, and over what is none of these.
func (b *body) until(want string) error {
	for {
		got, err := b.r.ReadString('\n')
		if err != nil || got == want+"\n" {
			return err
		}
	}
}

func (b *body) line(t *testing.T, want string) {
	t.Helper()
	if err := b.until(want); err != nil {
		t.Fatalf("before %q: %v", want, err)
	}
}

func (b *body) rest(t *testing.T) string {
	t.Helper()
	all, err := io.ReadAll(b.r)
	if err != nil {
		t.Fatalf("after %q: %v", all, err)
	}
	return string(all)
}

func do(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	b := get(t, client, url, "*/*")
	return b.rest(t)
}

// versions are the ways to speak to nginx.
func versions(n *nginx) map[string]struct {
	url string
	h2  bool
} {
	return map[string]struct {
		url string
		h2  bool
	}{"http": {n.plain, false}, "https": {n.secure, false}, "h2": {n.secure, true}}
}

// Each number is asked for when the one before has come: none may be held back on
// the way.
func TestStreamsBehindNginxFlow(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind)
		n := newNginx(s)
		for version, v := range versions(n) {
			client := browserlike(t, v.h2)
			for name, path := range map[string]string{
				"unbuffered":                  "/off/clock?",
				"buffered, but not by wish":   "/on/clock?accel=no&",
				"compressed":                  "/zip/clock?accel=no&",
				"events, buffered":            "/on/clock?",
				"events, unbuffered":          "/off/clock?",
				"events, compressed":          "/zip/clock?",
				"events, as nginx is shipped": "/clock?",
			} {
				t.Run(version+"/"+name, func(t *testing.T) {
					accept, want := "*/*", "%d"
					if strings.HasPrefix(name, "events") {
						accept, want = "text/event-stream", "data: %d"
					}
					key := "key=" + strings.ReplaceAll(version+name, " ", "+")
					b := get(t, client, v.url+path+key, accept)
					if v.h2 && b.ProtoMajor != 2 {
						t.Errorf("nginx speaks %s", b.Proto)
					}
					if zipped := b.Header.Get("Content-Encoding") == "gzip"; zipped != strings.HasPrefix(path, "/zip/") {
						t.Errorf("Content-Encoding is %q", b.Header.Get("Content-Encoding"))
					}
					for i := 1; i <= 20; i++ {
						b.line(t, fmt.Sprintf(want, i))
						do(t, client, v.url+"/next?"+key)
					}
					do(t, client, v.url+"/end?"+key)
					if all := b.rest(t); !strings.HasSuffix(strings.TrimSpace(all), "end") {
						t.Errorf("the stream ends with %q", all)
					}
				})
			}
		}
	})
}

// A proxy that buffers may keep a plain stream to itself until it ends. Then it is
// there, whole.
func TestABufferedStreamArrivesWhole(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind)
		n := newNginx(s)
		client := browserlike(t, false)
		done := make(chan string, 1)
		go func() { done <- do(t, client, n.plain+"/on/clock?key=K") }()
		s.arrived(t, "/clock")
		s.next("K")
		s.next("K")
		do(t, client, n.plain+"/end?key=K")
		if got := wait(t, done, "the stream"); got != "1\n2\n3\nend" {
			t.Errorf("came as %q", got)
		}
	})
}

func TestLongPollBehindNginx(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind)
		n := newNginx(s)
		for version, v := range versions(n) {
			client := browserlike(t, v.h2)
			var all sync.WaitGroup
			for i := range 50 {
				all.Go(func() {
					key := fmt.Sprintf("key=%s%d", version, i)
					if got := do(t, client, v.url+"/poll?"+key); got != "news "+key[4:] {
						t.Errorf("the answer is %q", got)
					}
				})
				all.Go(func() {
					key := fmt.Sprintf("%s%d", version, i)
					do(t, client, v.url+"/answer?key="+key+"&say=news+"+key)
				})
			}
			all.Wait()
		}
	})
}

func TestDownloadBehindNginx(t *testing.T) {
	const size = 8 << 20
	want := sha256.New()
	io.CopyN(want, noise(), size)
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind)
		n := newNginx(s)
		for version, v := range versions(n) {
			for _, path := range []string{"/on", "/off", "/zip"} {
				b := get(t, browserlike(t, v.h2), fmt.Sprintf("%s%s/big?bytes=%d", v.url, path, size), "*/*")
				got := sha256.New()
				if count, err := io.Copy(got, b.r); err != nil || count != size || string(got.Sum(nil)) != string(want.Sum(nil)) {
					t.Errorf("%s %s: %d bytes, %v", version, path, count, err)
				}
			}
		}
	})
}

// What breaks off at our end must not look whole behind a proxy.
func TestABrokenDownloadIsSeenBehindNginx(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind)
		n := newNginx(s)
		for version, v := range versions(n) {
			for _, path := range []string{"/on", "/off", "/zip"} {
				b := get(t, browserlike(t, v.h2), v.url+path+"/big?bytes=300000&fail=1", "*/*")
				if count, err := io.Copy(io.Discard, b.r); err == nil {
					t.Errorf("%s %s: %d bytes, as if that were all", version, path, count)
				}
				if e := s.left(t, "/big"); !errors.Is(e.Err, io.ErrNoProgress) {
					t.Errorf("the channel ends with %v: %v", e, e.Err)
				}
			}
		}
	})
}
