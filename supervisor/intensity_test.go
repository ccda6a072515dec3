package supervisor

import (
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

func TestWindowStopsWithTheFailureAfterMax(t *testing.T) {
	table := []struct {
		name      string
		intensity Intensity
		at        []time.Duration
		restart   string // y or n for each failure
	}{
		{"the default is three in 30 s", Intensity{}, []time.Duration{0, 1, 2, 3}, "yyyn"},
		{"a failure counts until Within has passed", Intensity{Max: 1, Within: 10}, []time.Duration{0, 9}, "yn"},
		{"a failure counts no longer than Within", Intensity{Max: 1, Within: 10}, []time.Duration{0, 10, 19}, "yyn"},
		{"the period slides", Intensity{Max: 2, Within: 10}, []time.Duration{0, 6, 12, 18, 19}, "yyyyn"},
		{"negative Max: the first failure stops", Intensity{Max: -1}, []time.Duration{0, time.Hour}, "nn"},
		{"failures of a stop do not count", Intensity{Max: 1, Within: 10}, []time.Duration{0, 9, 10}, "yny"},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			var w Window
			got := ""
			for _, at := range row.at {
				if w.Fail(epoch.Add(at), row.intensity) {
					got += "y"
				} else {
					got += "n"
				}
			}
			if got != row.restart {
				t.Errorf("got %s, want %s", got, row.restart)
			}
		})
	}
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// The plain model keeps every failure that was restarted and counts anew.
func TestWindowIsTheCountOfRecentRestarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := Intensity{Max: rapid.IntRange(1, 6).Draw(t, "max"), Within: rapid.SampledFrom([]time.Duration{1, 10, 100}).Draw(t, "within")}
		var w Window
		var restarts []time.Time
		now := epoch
		for _, step := range rapid.SliceOfN(rapid.IntRange(0, 40), 1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(step))
			recent := 0
			for _, r := range restarts {
				if now.Sub(r) < i.Within {
					recent++
				}
			}
			got, want := w.Fail(now, i), recent < i.Max
			if got != want {
				t.Fatalf("at %d with %d recent: restart %t, want %t", now.Sub(epoch), recent, got, want)
			}
			if got {
				restarts = append(restarts, now)
			}
			if c := cap(*w.failures); c != i.Max {
				t.Fatalf("the window holds room for %d, Max is %d", c, i.Max)
			}
		}
	})
}

func TestWindowIsOneWordUntilTheFirstFailure(t *testing.T) {
	if size := unsafe.Sizeof(Window{}); size != 8 {
		t.Errorf("size = %d", size)
	}
	var w Window
	now := epoch
	w.Fail(now, Intensity{})
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Second)
		w.Fail(now, Intensity{})
	}); n != 0 {
		t.Errorf("%v allocations for a later failure", n)
	}
	if w.Reset(); w.failures != nil || !w.Fail(now, Intensity{}) {
		t.Error("Reset did not forget")
	}
}

// Another intensity may be used with a window that has a past.
func TestWindowTakesAnotherIntensity(t *testing.T) {
	var w Window
	for n := range 5 {
		w.Fail(epoch, Intensity{Max: 5})
		if w.Fail(epoch, Intensity{Max: n + 1}) {
			t.Fatalf("%d failures restarted with Max %d", n+2, n+1)
		}
	}
	if !w.Fail(epoch, Intensity{Max: 6}) {
		t.Fatal("five failures stopped with Max 6")
	}
}

func TestIntensityNamesTheFieldThatIsWrong(t *testing.T) {
	for _, good := range []Intensity{{}, {Max: -5}, {Max: 1024, Within: time.Hour}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for field, bad := range map[string]Intensity{
		"Intensity.Max is 1025":  {Max: 1025},
		"Intensity.Within is -1": {Within: -1},
	} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	var w Window // even unchecked it stays bounded
	for range 2000 {
		w.Fail(epoch, Intensity{Max: 1 << 30, Within: -1})
	}
	if len(*w.failures) != maxIntensity {
		t.Errorf("%d failures kept", len(*w.failures))
	}
}
