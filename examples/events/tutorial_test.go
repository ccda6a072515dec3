package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

var rewrite = flag.Bool("rewrite", false, "write the files that the tutorial ends with")

// step is the program after a step of the tutorial, by file.
type step map[string]string

var block = regexp.MustCompile("(?ms)^## (\\d+)\\. |^```(?:go|js|html) (\\S+)\n(.*?)^```$")

// steps reads the tutorial. A block with the name of a file is that file, or is what
// changes in it: functions and types take the place of those they are named as, what
// else there is comes at the end.
func steps(t *testing.T) []step {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "tutorial.md"))
	if err != nil {
		t.Fatal(err)
	}
	var all []step
	for _, m := range block.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\r\n", "\n"), -1) {
		if m[1] != "" {
			next := step{}
			if len(all) > 0 {
				next = maps.Clone(all[len(all)-1])
			}
			all = append(all, next)
			continue
		}
		now, name, body := all[len(all)-1], m[2], m[3]
		if before, there := now[name]; there && !strings.HasPrefix(body, "package ") {
			body = merge(before, body)
		}
		now[name] = body
	}
	return all
}

// declaration is a function or a type with what is said about it.
var declaration = regexp.MustCompile(`(?ms)^(?://[^\n]*\n)*((?:func|function|type) \w+).*?^}\n`)

func merge(file, changes string) string {
	rest := declaration.ReplaceAllStringFunc(changes, func(changed string) string {
		name := declaration.FindStringSubmatch(changed)[1]
		for _, at := range declaration.FindAllStringSubmatchIndex(file, -1) {
			if file[at[2]:at[3]] == name {
				file = file[:at[0]] + changed + file[at[1]:]
				return ""
			}
		}
		return changed
	})
	if rest = strings.TrimSpace(rest); rest != "" {
		file += "\n" + rest + "\n"
	}
	return file
}

// The tutorial ends with this program.
func TestTheTutorialEndsHere(t *testing.T) {
	all := steps(t)
	for name, want := range all[len(all)-1] {
		if *rewrite {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil || strings.ReplaceAll(string(got), "\r\n", "\n") != want {
			t.Errorf("%s is not what the tutorial ends with (go test -rewrite): %v", name, err)
		}
	}
}

// Each step of the tutorial builds, and does what it says.
func TestEachStepOfTheTutorial(t *testing.T) {
	plays := []func(t *testing.T, url string, step int, how ...client.Transport){0: playSaying, 2: playPresence, 3: playQuestions, 4: playCuts}
	node, _ := exec.LookPath("node")
	all, to, binary := steps(t), t.TempDir(), ""
	for i, files := range all {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			if i == 0 || !maps.Equal(files, all[i-1]) {
				binary = build(t, to, files)
			}
			url := run(t, binary)
			for n, play := range plays {
				if n <= i && play != nil {
					play(t, url, i+1)
				}
			}
			if i >= 1 && node != "" {
				url := run(t, binary) // one that has heard nothing yet
				if out, err := exec.CommandContext(t.Context(), node, filepath.Join("testdata", "page.mjs"), url, fmt.Sprint(i+1)).CombinedOutput(); err != nil {
					t.Errorf("the page: %v\n%s", err, out)
				}
			}
			if i >= 5 {
				out, err := exec.CommandContext(t.Context(), binary, "-types").Output()
				for _, line := range []string{"said: Said;", "say: Say;", "history: [number, Said[] | null];", "confirm: [string, boolean];"} {
					if err != nil || !strings.Contains(string(out), line) {
						t.Errorf("%v: no %s in\n%s", err, line, out)
					}
				}
			}
		})
	}
}

// build builds a step where this module can be imported, without writing into it.
func build(t *testing.T, to string, files step) string {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	work, replace := t.TempDir(), map[string]string{}
	for name, body := range files {
		path := filepath.Join(work, name)
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(here, "tutorial", name)] = path
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(work, "overlay.json")
	if err := os.WriteFile(config, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(to, "tutorial.exe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", config, "-o", binary, "./tutorial").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// run runs a step until the end of the test, and returns its address.
func run(t *testing.T, binary string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	program := exec.Command(binary, "-addr", addr)
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if runtime.GOOS == "windows" || program.Process.Signal(os.Interrupt) != nil {
			_ = program.Process.Kill()
		}
		if err := program.Wait(); err != nil && runtime.GOOS != "windows" {
			t.Error(err)
		}
	})
	for ctx := exampletest.Within(t); ; {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			c.Close()
			return "http://" + addr
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}
