package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLinesOfAKindAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w bytes.Buffer
		l := Bounded(plain(&w))
		if Bounded(l) != l {
			t.Error("bounded twice")
		}
		for i := range 1000 {
			l.Warn("refused", "n", i)
			l.With("who", "x").WithGroup("g").Warn("refused", "n", i)
		}
		l.Error("refused") // of another kind, as is the next
		l.Warn("failed")
		if got := strings.Count(w.String(), "\n"); got != linesAtOnce+2 {
			t.Fatalf("told %d lines:\n%s", got, w.String())
		}
		for range 100 {
			l.Debug("much")
		}
		if got := strings.Count(w.String(), "msg=much"); got != 100 {
			t.Errorf("told %d of the debug lines", got)
		}

		w.Reset()
		time.Sleep(lineEvery)
		l.Warn("refused")
		l.Warn("refused")
		if got := w.String(); got != "level=WARN msg=refused left_out=1990\n" {
			t.Error(got)
		}
		w.Reset()
		time.Sleep(time.Hour)
		for range 2 * linesAtOnce {
			l.Warn("refused")
		}
		if got := w.String(); strings.Count(got, "\n") != linesAtOnce || strings.Count(got, "left_out") != 1 || !strings.HasPrefix(got, "level=WARN msg=refused left_out=1\n") {
			t.Error(got)
		}
	})
}

// Messages that differ, which they should not, are bounded as well, and so is what is
// remembered of them.
func TestKindsOfLinesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w bytes.Buffer
		l := Bounded(plain(&w))
		for i := range 100 * maxKinds {
			l.Warn(fmt.Sprint("of ", i))
		}
		if got := strings.Count(w.String(), "\n"); got != maxKinds+linesAtOnce {
			t.Errorf("told %d lines", got)
		}
		if got := len(l.Handler().(bounded).lines.kinds); got != maxKinds+1 {
			t.Errorf("remembers %d kinds", got)
		}
	})
}

func TestLinesAreCountedFromAnyGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w bytes.Buffer // a slog.TextHandler writes one line at a time
		l := Bounded(plain(&w))
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 100 {
					l.Warn("refused")
				}
			})
		}
		all.Wait()
		time.Sleep(lineEvery)
		l.Warn("refused")
		if !strings.HasSuffix(w.String(), fmt.Sprintf(" left_out=%d\n", 800-linesAtOnce)) {
			t.Error(w.String())
		}
	})
}

// A hook that fails of each event is heard of, and fills no disk.
func TestPanicsOfAHookAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w bytes.Buffer
		old := slog.Default()
		slog.SetDefault(plain(&w))
		defer slog.SetDefault(old)
		h := Tee(func(Event) { panic(errors.New("broken")) })
		for range 1000 {
			h(Opened{ID: "1"})
		}
		if got := strings.Count(w.String(), "msg=\"panic in an event hook\""); got != linesAtOnce {
			t.Errorf("told %d lines", got)
		}
	})
}
