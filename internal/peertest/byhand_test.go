//go:build linux

package peertest

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
)

const protocolDoc = "../../docs/protocol.md"

// What docs/protocol.md shows of a session by hand is what curl and a server say.
func TestTheProtocolByHand(t *testing.T) {
	t.Run("poller", func(t *testing.T) { byHand(t, actors.Config{Driver: actors.DriverPoller}) })
	t.Run("goroutine", func(t *testing.T) { byHand(t, actors.Config{Driver: actors.DriverGoroutine}) })
}

func byHand(t *testing.T, cfg actors.Config) {
	cfg.Logger = slog.New(slog.DiscardHandler)
	rt, err := actors.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rt.Stop(context.Background()) }()
	srv, err := events.New(rt, events.Handlers{}, events.Options{Hold: patience / 4})
	if err != nil {
		t.Fatal(err)
	}
	events.On(srv, "say", func(ctx context.Context, what string) error { return events.From(ctx).Send("said", what) })
	events.On(srv, "bytes", func(ctx context.Context, b []byte) error { return events.From(ctx).Send("bytes", b) })
	events.Reply(srv, "twice", func(_ context.Context, what string) (string, error) { return what + what, nil })
	web := httptest.NewServer(srv)
	defer web.Close()
	defer web.CloseClientConnections()

	text, err := os.ReadFile(protocolDoc)
	if err != nil {
		t.Fatal(err)
	}
	var script bytes.Buffer
	var want []string // what each command is to say
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllSubmatch(text, -1) {
		for line := range strings.Lines(string(block[1])) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				script.WriteString(command + "echo ''\necho '====='\n")
				want = append(want, "")
			} else {
				want[len(want)-1] += line
			}
		}
	}
	if len(want) < 10 {
		t.Fatalf("%d commands", len(want))
	}
	bash := exec.CommandContext(bounded(t), "bash")
	bash.WaitDelay = patience
	bash.Env = append(os.Environ(), "URL="+web.URL)
	bash.Dir = t.TempDir()
	bash.Stdin = &script
	out, err := bash.CombinedOutput()
	if err != nil {
		t.Errorf("bash: %v", err)
	}
	said := strings.Split(string(out), "=====\n")
	if len(said) != len(want)+1 {
		t.Fatalf("%d commands said\n%s", len(want), out)
	}
	for i, w := range want {
		pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(w)), "…", ".*") + "$"
		if got := strings.TrimSpace(said[i]); !regexp.MustCompile(pattern).MatchString(got) {
			t.Errorf("command %d said\n%s\nwant\n%s", i+1, got, w)
		}
	}
}
