package tstypes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/tstypes"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file")

type (
	Color string
	Tree  []Tree
	Level int
)

type Base struct {
	ID      string `json:"id"`
	Hidden  int    `json:"-"`
	Name    string
	private int
}

type Author struct {
	Nick string
	Name string // meets Base's in Post, which has neither
}

type Node struct {
	Value Level  `json:"value"`
	Next  *Node  `json:"next"`
	Kids  []Node `json:"kids,omitempty"`
}

type Page[T any] struct {
	Items []T `json:"items"`
	More  bool
}

type Post struct {
	Base
	*Author
	Color   Color             `json:"color"`
	At      time.Time         `json:"at"`
	Until   *time.Time        `json:"until,omitempty"`
	Blob    []byte            `json:"blob"`
	Raw     json.RawMessage   `json:"raw"`
	Any     any               `json:"any,omitempty"`
	Scores  map[string]int    `json:"scores"`
	ByLevel map[Level][]Color `json:"by-level,omitempty"`
	Pair    [2]float64        `json:"pair"`
	Big     int64             `json:"big,string"`
	Addr    netip.Addr        `json:"addr"`
	Opt     *string           `json:"opt"`
	Took    time.Duration     `json:"took,omitzero"`
	Inner   struct {
		A int `json:"a"`
	} `json:"inner"`
	Tree Tree `json:"tree"`
	Node Node `json:"node"`
}

func server(t *testing.T) *events.Server {
	t.Helper()
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	srv, err := events.New(rt, events.Handlers{}, events.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

func full(t *testing.T) *events.Server {
	srv := server(t)
	events.On(srv, "post", func(context.Context, Post) error { return nil })
	events.On(srv, "blob", func(context.Context, []byte) error { return nil })
	events.On(srv, "typing/stop", func(context.Context, any) error { return nil })
	events.Reply(srv, "list", func(context.Context, struct{ After string }) (Page[Post], error) { return Page[Post]{}, nil })
	events.Reply(srv, "count", func(context.Context, *int) (int, error) { return 0, nil })
	events.Says[Post](srv, "posted")
	events.Says[map[string]bool](srv, "who")
	events.Says[Page[Node]](srv, "nodes")
	events.Asks[string, bool](srv, "confirm")
	events.Says[bool](srv, "who-again")
	events.Says[string](srv, "who-again") // the last counts
	return srv
}

// What is written is what it was, and what was looked over.
func TestGolden(t *testing.T) {
	var b bytes.Buffer
	if err := tstypes.Write(&b, full(t)); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "events.ts")
	if *rewrite {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n")), b.Bytes()) {
		t.Errorf("go test -rewrite, and look at what changed; it is now\n%s", b.Bytes())
	}
}

// The TypeScript compiler takes the golden file, and use.ts, which uses it with the
// client and marks what must be an error.
func TestTypeScriptTakesIt(t *testing.T) {
	tsc, err := filepath.Abs("../../client/js/node_modules/typescript/bin/tsc")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tsc); err != nil {
		t.Skip("npm ci in client/js brings the compiler; the golden file says the rest")
	}
	out, err := exec.Command("node", tsc, "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext",
		"testdata/events.ts", "testdata/use.ts").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWhatJSONHasNothingFor(t *testing.T) {
	for name, declare := range map[string]func(*events.Server){
		"chan":    func(srv *events.Server) { events.Says[chan int](srv, "x") },
		"func":    func(srv *events.Server) { events.Says[struct{ F func() }](srv, "x") },
		"complex": func(srv *events.Server) { events.Asks[int, []complex128](srv, "x") },
		"key":     func(srv *events.Server) { events.Says[map[bool]int](srv, "x") },
	} {
		srv := server(t)
		declare(srv)
		var bad *tstypes.TypeError
		if err := tstypes.Write(&bytes.Buffer{}, srv); !errors.As(err, &bad) || bad.Event != "x" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The fields are those that encoding/json writes.
func TestFieldsAreThoseOfJSON(t *testing.T) {
	p := Post{Author: &Author{}, Until: &time.Time{}, Any: 1, ByLevel: map[Level][]Color{1: nil}, Took: 1, Raw: []byte("1")}
	p.private = 1
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(b, &members); err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile(filepath.Join("testdata", "events.ts"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(golden, []byte("export interface Post {\n"))
	post, _, _ := bytes.Cut(rest, []byte("\n}\n"))
	n := 0
	for line := range bytes.Lines(post) {
		if len(line) > 2 && line[2] != ' ' && line[2] != '}' {
			n++
			name, _, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
			key := string(bytes.Trim(bytes.TrimSuffix(name, []byte("?")), `"`))
			if _, ok := members[key]; !ok {
				t.Errorf("JSON has no %q", key)
			}
		}
	}
	if n != len(members) {
		t.Errorf("%d of %d fields:\n%s\n%s", n, len(members), post, b)
	}
}
