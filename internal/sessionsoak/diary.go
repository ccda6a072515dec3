package main

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// diary is the last that happened to a client and its sessions: a promise that was
// broken cannot be replayed, as time is real.
type diary struct {
	mu    sync.Mutex
	lines []string // guarded by mu
	read  bool     // guarded by mu
}

const mostLines = 150

// Write is for a slog.Handler: one call a line.
func (d *diary) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lines = append(d.lines, string(b)); len(d.lines) > 2*mostLines {
		d.lines = append(d.lines[:0], d.lines[mostLines:]...)
	}
	return len(b), nil
}

func (d *diary) notef(format string, args ...any) {
	if d != nil {
		_, _ = fmt.Fprintf(d, "%s %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
	}
}

func (d *diary) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(d, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.TimeKey:
			return slog.String("", a.Value.Time().Format("15:04:05.000"))
		case slog.LevelKey:
			return slog.Attr{}
		}
		return a
	}}))
}

// open prints it, once, if it was asked for.
func (d *diary) open(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.read {
		return
	}
	d.read = true
	f, err := os.OpenFile(os.Getenv("DIARIES"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "== %s\n", name)
	for _, l := range d.lines[max(0, len(d.lines)-mostLines):] {
		fmt.Fprint(f, l)
	}
}
