// Command clock runs the tests of the runtime while the wall clock jumps: up to a
// day back or forth, a thousand times a second. Nothing may notice, since all that
// is measured is measured by the monotonic clock.
//
//	go run ./internal/faulttest/clock
//	go run ./internal/faulttest/clock ./mailbox -run Close
//
// The tests are compiled with another time.Now, by an overlay of the standard
// library: what any dependency asks is answered so, too. In bubbles of
// testing/synctest time is virtual, and stays as it is.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	now = "	sec, nsec, mono := runtimeNow()\n"

	// Fibonacci hashing of the present millisecond, taken modulo two days.
	jump = `	if mono != 0 {
		sec += int64(uint64(mono>>20)*0x9e3779b97f4a7c15>>32)%(2*24*3600) - 24*3600
	}
`
)

// runtime is what time must not matter to, and first the proof that it jumps.
var runtime = []string{"./internal/faulttest/clock", ".", "./actors", "./mailbox", "./registry", "./supervisor", "./transport/..."}

func main() {
	log.SetFlags(0)
	args := os.Args[1:]
	if len(args) == 0 {
		args = runtime
	}
	if err := run(args); err != nil {
		log.Fatal(err)
	}
}

func run(args []string) error {
	work, err := os.MkdirTemp("", "clock")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	overlay, err := write(work)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", append([]string{"test", "-overlay", overlay, "-count=1", "-timeout=10m"}, args...)...)
	cmd.Env = append(os.Environ(), "TROUPE_CLOCK=jumps")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// write makes the overlay, and says where it is.
func write(work string) (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("clock: go env: %w", err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		return "", fmt.Errorf("clock: %w", err)
	}
	before, after, found := strings.Cut(string(source), "func Now() Time {\n"+now)
	if !found {
		return "", errors.New("clock: time.Now is not written as it was in Go 1.26")
	}
	changed := filepath.Join(work, "time.go")
	if err := os.WriteFile(changed, []byte(before+"func Now() Time {\n"+now+jump+after), 0o600); err != nil {
		return "", fmt.Errorf("clock: %w", err)
	}
	table, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		return "", fmt.Errorf("clock: %w", err)
	}
	overlay := filepath.Join(work, "overlay.json")
	return overlay, os.WriteFile(overlay, table, 0o600)
}
