//go:build linux

package peertest

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/supervisor"
)

// program runs one that others have written, and says what it said if it fails.
func program(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, said)
	}
}

func socketURL(url string) string { return "ws" + strings.TrimPrefix(url, "http") }

func node(t *testing.T, file, url string, env ...string) {
	t.Helper()
	program(t, append(env, "TROUPE_URL="+url, "NODE_EXTRA_CA_CERTS="+trust.ca), "node", "--test", file)
}

func python(t *testing.T, url string, env ...string) {
	t.Helper()
	program(t, append(env, "TROUPE_URL="+url, "TROUPE_CA="+trust.ca), cmp.Or(os.Getenv("PYTHON"), "/usr/bin/python3"), "websockets_test.py")
}

func TestNodeWS(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) { node(t, "ws.test.mjs", socketURL(newServer(t, kind).url())) })
}

func TestNodeWSBehindNginx(t *testing.T) {
	t.Parallel()
	s := newServer(t, "poller")
	node(t, "ws.test.mjs", socketURL(newNginx(s).secure), "TROUPE_BEHIND=nginx")
	tooBig(t, s)
}

func TestPythonWebsockets(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) { python(t, socketURL(newServer(t, kind).url())) })
}

func TestPythonWebsocketsBehindNginx(t *testing.T) {
	t.Parallel()
	s := newServer(t, "poller")
	python(t, socketURL(newNginx(s).secure), "TROUPE_BEHIND=nginx")
	tooBig(t, s)
}

// tooBig is what we know of the clients' messages that were too big, whatever they
// have heard.
func tooBig(t *testing.T, s *server) {
	t.Helper()
	if n := s.rt.Stats().Causes[supervisor.CauseMessageTooBig]; n != 2 {
		t.Errorf("%d channels ended as their message was too big, want 2", n)
	}
}

func TestChromium(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) { node(t, "browser.test.mjs", newServer(t, kind).url()) })
}

func TestChromiumBehindNginx(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"poller", "tls"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			node(t, "browser.test.mjs", newNginx(newServer(t, kind)).secure)
		})
	}
}

func TestSessionsBehindNginx(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			n := newNginx(newServer(t, kind))
			address := n.plain
			if kind == "tls" {
				address = n.secure
			}
			node(t, "sessions.test.mjs", address, "TROUPE_UPGRADES="+filepath.Join(n.dir, "upgrades"))
		})
	}
}
