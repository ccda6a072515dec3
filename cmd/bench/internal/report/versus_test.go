//go:build linux

package report

import (
	"strings"
	"testing"
)

func TestVersusComparesWithinRounds(t *testing.T) {
	var v Versus
	for i, ours := range []float64{4, 40, 100} { // the machine is busier in each round
		v.Add("tells", "remote", Ours, ours)
		v.Add("tells", "remote", Other, []float64{1, 10, 50}[i])
	}
	v.Add("bytes", "", Ours, 7)
	if got := v.Ratio("tells"); got != 4 {
		t.Error(got)
	}
	var b strings.Builder
	if err := v.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| tells | 40.0 | 120 | 10.0 (remote) | 245 |         4.00 |", "| bytes | 7.00 |   0 |             - |   - |            - |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
