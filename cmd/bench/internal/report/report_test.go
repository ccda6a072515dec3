//go:build linux

package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/cmd/bench/internal/load"
	"github.com/troupe-actors/troupe/cmd/bench/internal/server"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		of   []float64
		want float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 2, 100}, 3},
	} {
		if got := Median(test.of); got != test.want {
			t.Errorf("median of %v is %v, want %v", test.of, got, test.want)
		}
	}
	if !math.IsNaN(Median(nil)) {
		t.Error("the median of nothing is a number")
	}
	of := []float64{3, 1, 2}
	if Median(of); of[0] != 3 {
		t.Error("Median has sorted its argument")
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.123: "0.12", 5.678: "5.68", 12.34: "12.3", 999.6: "1,000", 1234567: "1,234,567", -1500: "-1500", math.Inf(1): "-", math.NaN(): "-",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

// measured is a report of an echo and a burst with round numbers.
func measured(t *testing.T) *Report {
	t.Helper()
	r := &Report{Machine: "<none>"}
	for _, c := range Cases() {
		for name, v := range map[string][]float64{
			"floor": {4, 6, 5}, ours: {5, 5, 5}, "gws": {6, 8, 7}, "gorilla": {9, 9, 9},
		} {
			if c.Name != "echo-128x1000" && c.Name != "burst-5000" || server.Lacks(name, c.Options) != "" {
				continue
			}
			for _, x := range v {
				r.Add(c, name, load.Result{CPUMicros: x, PerSecond: 1000 / x, Busy: x / 10}, nil)
			}
			if name == "gorilla" {
				r.Add(c, name, load.Result{}, errors.New("no more"))
			}
		}
	}
	return r
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	r := measured(t)
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"### echo-128x1000: echo, 128 bytes, 1,000 connections",
		"gws (best peer)",
		"gorilla (1 failed: no more)",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	for line := range strings.Lines(b.String()) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 || !strings.Contains(cells[1], ours) || !strings.Contains(line, "0.71") {
			continue
		}
		if got := strings.Fields(strings.Join(cells[3:6], " ")); strings.Join(got, " ") != "5.00 1.00 0.71" {
			t.Errorf("CPU and its ratios are %q", got)
		}
		return
	}
	t.Errorf("no row of ours in\n%s", b.String())
}

func TestBudgets(t *testing.T) {
	var b bytes.Buffer
	missed, err := measured(t).WriteBudgets(&b)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"echo: CPU to the floor's":                  "kept",   // 5/5 ≤ 1.10
		"echo: CPU to gws's":                        "kept",   // 5/7 ≤ 0.85
		"echo: allocations a message":               "kept",   // none
		"burst: allocations a delivery":             "kept",   // none
		"burst: deliveries a second to gws's":       "MISSED", // 7/5 < 10
		"burst: deliveries a second to the floor's": "MISSED", // 5/5 < 6
	}
	rows := 0
	for line := range strings.Lines(b.String()) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || rows < 0 {
			continue
		}
		name := strings.TrimSpace(cells[1])
		if verdict, ok := want[name]; ok {
			rows++
			if got := strings.TrimSpace(cells[4]); got != verdict {
				t.Errorf("%s: %s, want %s", name, got, verdict)
			}
		}
	}
	if rows != len(want) || missed != 2 {
		t.Errorf("%d rows of %d, %d missed, in\n%s", rows, len(want), missed, b.String())
	}
}

func TestEveryBudgetHasItsCase(t *testing.T) {
	named := map[string]bool{}
	for _, c := range Budgeted(Cases()) {
		named[c.Name] = true
		if server.Lacks(ours, c.Options) != "" {
			t.Errorf("ours cannot do %s", c.Name)
		}
	}
	for _, b := range budgets {
		if !named[b.caseOf] {
			t.Errorf("%s is about %s, which is none of the cases", b.text, b.caseOf)
		}
	}
}

func TestQuickHasEveryKind(t *testing.T) {
	kinds := map[string]bool{}
	for _, c := range Quick(Cases()) {
		kinds[c.Spec.Kind] = true
		if len(c.Servers(server.Names())) == 0 {
			t.Errorf("no server for %s", c.Name)
		}
	}
	for _, c := range Cases() {
		if !kinds[c.Spec.Kind] {
			t.Errorf("no quick case is of kind %s", c.Spec.Kind)
		}
	}
}

func TestPlotsAreXML(t *testing.T) {
	folder := t.TempDir()
	if err := measured(t).Plot(folder); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"echo-128x1000.svg", "burst-5000.svg"} {
		b, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(bytes.NewReader(b))
		bars := 0
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if start, ok := token.(xml.StartElement); ok && start.Name.Local == "rect" {
				bars++
			}
		}
		if bars != 1+4 { // the ground and four servers
			t.Errorf("%s: %d bars", name, bars-1)
		}
	}
}
