//go:build linux

package peertest

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/actors"
)

// curlVersions are the ways in which curl speaks to a server. HTTP/2 without TLS
// is not served, nor does net/http know "http/1.0" as a protocol of TLS.
func curlVersions(s *server) []string {
	if s.secure {
		return []string{"--http1.0", "--http1.1", "--http2"}
	}
	return []string{"--http1.0", "--http1.1"}
}

func curl(t *testing.T, args ...string) *exec.Cmd {
	if args[0] == "--http1.0" {
		args = append(args, "--no-alpn")
	}
	return exec.CommandContext(bounded(t), "curl", append(args, "--silent", "--show-error", "--cacert", trust.ca)...)
}

// said is what curl prints; it must be content.
func said(t *testing.T, args ...string) string {
	t.Helper()
	cmd := curl(t, append(args, "--fail")...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Errorf("curl %q: %v: %s", args, err, problems.String())
	}
	return out.String()
}

func onCurls(t *testing.T, test func(t *testing.T, s *server, version string)) {
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind)
		for _, version := range curlVersions(s) {
			t.Run(version, func(t *testing.T) { test(t, s, version) })
		}
	})
}

func TestCurlSeesAStreamFlow(t *testing.T) {
	onCurls(t, func(t *testing.T, s *server, version string) {
		for accept, want := range map[string]string{"*/*": "%d\n", "text/event-stream": "data: %d\n"} {
			key := version + accept
			cmd := curl(t, version, "--no-buffer", "--header", "Accept: "+accept, "--get", "--data-urlencode", "key="+key, s.url()+"/clock")
			pipe, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			out := bufio.NewReader(pipe)
			for i := 1; i <= 10; i++ {
				for line, want := "", fmt.Sprintf(want, i); line != want; {
					if line, err = out.ReadString('\n'); err != nil {
						t.Fatalf("before %q: %v", want, err)
					}
				}
				s.next(key)
			}
			for c := range s.rt.Members(key) {
				s.tell(c, "end\n", actors.ThenClose())
			}
			rest, err := io.ReadAll(out)
			if err = errors.Join(err, cmd.Wait()); err != nil || !strings.Contains(string(rest), "end") {
				t.Errorf("the stream ends with %q, %v", rest, err)
			}
		}
	})
}

// Several requests have one connection, a held one among them, where the version
// of HTTP has that.
func TestCurlKeepsItsConnection(t *testing.T) {
	onCurls(t, func(t *testing.T, s *server, version string) {
		before := s.accepted.Load()
		go func() {
			select {
			case c := <-s.poll(version):
				s.tell(c, "held", actors.ThenClose())
			case <-t.Context().Done():
			}
		}()
		got := said(t, version, s.url()+"/say?say=1+", s.url()+"/poll?key="+version, s.url()+"/say?say=+2+", s.url()+"/big?bytes=0")
		if got != "1 held 2 " {
			t.Errorf("curl has heard %q", got)
		}
		if n := s.accepted.Load() - before; n != 1 && version != "--http1.0" {
			t.Errorf("over %d connections", n)
		}
		if head := said(t, version, "--head", s.url()+"/say?say=12345"); !strings.Contains(strings.ToLower(head), "content-length: 5\r\n") {
			t.Errorf("the head is %q", head)
		}
	})
}

func TestCurlDownloads(t *testing.T) {
	const size = 8 << 20
	want := sha256.New()
	io.CopyN(want, noise(), size)
	onCurls(t, func(t *testing.T, s *server, version string) {
		for _, rate := range []string{"0", "4M"} {
			got := sha256.Sum256([]byte(said(t, version, "--limit-rate", rate, fmt.Sprintf("%s/big?bytes=%d", s.url(), size))))
			if string(got[:]) != string(want.Sum(nil)) {
				t.Errorf("at %s a second: other bytes have come", rate)
			}
		}
	})
}

// A body that breaks off is an error to curl in every version of HTTP.
func TestCurlSeesABrokenDownload(t *testing.T) {
	onCurls(t, func(t *testing.T, s *server, version string) {
		cmd := curl(t, version, "--output", "/dev/null", s.url()+"/big?bytes=300000&fail=1")
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) {
			t.Errorf("curl: %v", err)
		}
		if e := s.left(t, "/big"); !errors.Is(e.Err, io.ErrNoProgress) {
			t.Errorf("the channel ends with %v: %v", e, e.Err)
		}
	})
}

func TestCurlIsKilled(t *testing.T) {
	onCurls(t, func(t *testing.T, s *server, version string) {
		for _, path := range []string{"/clock?key=K", "/poll?key=K", "/big?bytes=10000000000"} {
			cmd := curl(t, version, "--output", "/dev/null", s.url()+path)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			path, _, _ = strings.Cut(path, "?")
			s.arrived(t, path)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // it was killed
			if e := s.left(t, path); e.Name() != "client-close" {
				t.Errorf("%s ends with %v", path, e)
			}
		}
	})
}
