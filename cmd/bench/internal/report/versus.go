//go:build linux

package report

import (
	"io"
	"math"
	"slices"
	"strings"
)

// Versus is figures of ours, each beside that of something else or nothing.
type Versus struct {
	rows []*versusRow
}

type versusRow struct {
	what, other string
	rounds      [2][]float64 // ours, and the other's
}

// The sides of a figure.
const (
	Ours = iota
	Other
)

// Add adds a round's figure of one side. other names the other side; "" if there is
// none.
func (v *Versus) Add(what, other string, side int, figure float64) {
	i := slices.IndexFunc(v.rows, func(r *versusRow) bool { return r.what == what })
	if i < 0 {
		i = len(v.rows)
		v.rows = append(v.rows, &versusRow{what: what, other: other})
	}
	r := v.rows[i]
	r.rounds[side] = append(r.rounds[side], figure)
}

// Write writes the medians of all rounds as Markdown; how far ours lie apart, half of
// it, in percent; and the median of the ratios within each round.
func (v *Versus) Write(w io.Writer) error {
	rows := [][]string{{"", "ours", "± %", "other", "± %", "ours / other"}}
	for _, r := range v.rows {
		row := []string{r.what}
		for _, figures := range r.rounds {
			if len(figures) == 0 {
				row = append(row, "-", "-")
				continue
			}
			m := Median(figures)
			row = append(row, number(m), number(50*(slices.Max(figures)-slices.Min(figures))/m))
		}
		if r.other != "" {
			row[3] += " (" + r.other + ")"
		}
		rows = append(rows, append(row, ratio(v.Ratio(r.what))))
	}
	var b strings.Builder
	align(&b, rows)
	_, err := io.WriteString(w, b.String())
	return err
}

// Ratio is the median of ours / other within each round, or not a number.
func (v *Versus) Ratio(what string) float64 {
	for _, r := range v.rows {
		if r.what == what && len(r.rounds[Other]) > 0 {
			var ratios []float64
			for i := range min(len(r.rounds[Ours]), len(r.rounds[Other])) {
				ratios = append(ratios, r.rounds[Ours][i]/r.rounds[Other][i])
			}
			return Median(ratios)
		}
	}
	return math.NaN()
}
