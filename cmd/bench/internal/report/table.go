//go:build linux

package report

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/troupe-actors/troupe/cmd/bench/internal/server"
)

// crowded is from when on the load generator may have been what limited a load.
const crowded = 0.9

// Write writes the tables as Markdown.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, Linux %s, %s, commit %s, %s\n`%s`, load average before: %s\n", r.Machine, r.Kernel, r.Go, r.Commit, r.Date, r.Command, r.LoadAverage)
	for _, c := range r.cases() {
		r.writeCase(&b, c)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeCase(b *strings.Builder, c Case) {
	best := r.best(c.Name, c.Metric)
	fmt.Fprintf(b, "\n### %s: %s\n\n", c.Name, c.Title)
	rows := [][]string{{"server"}}
	for _, m := range c.columns() {
		rows[0] = append(rows[0], m.Name)
		if m.Name == c.Metric.Name {
			rows[0] = append(rows[0], "× floor", "× best peer", "± %")
		}
	}
	for _, name := range server.Names() {
		e := r.find(c.Name, name)
		if e == nil {
			continue
		}
		title := name
		if name == best {
			title += " (best peer)"
		}
		row := []string{title}
		for _, m := range c.columns() {
			row = append(row, number(e.Value(m)))
			if m.Name == c.Metric.Name {
				row = append(row, ratio(e.Value(m)/r.value(c.Name, "floor", m)), ratio(e.Value(m)/r.value(c.Name, best, m)), number(50*e.Spread))
			}
			if m.Name == busy.Name && e.Value(m) > crowded {
				row[len(row)-1] += " !"
			}
		}
		if len(e.Errors) > 0 {
			row[0] += fmt.Sprintf(" (%d failed: %s)", len(e.Errors), e.Errors[0])
		}
		rows = append(rows, row)
	}
	align(b, rows)
}

// align writes rows as a Markdown table whose columns line up.
func align(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, s := range row {
			widths[i] = max(widths[i], len([]rune(s)))
		}
	}
	for n, row := range rows {
		for i, s := range row {
			pad := strings.Repeat(" ", widths[i]-len([]rune(s)))
			if i == 0 {
				b.WriteString("| " + s + pad)
			} else {
				b.WriteString(" | " + pad + s)
			}
		}
		b.WriteString(" |\n")
		if n > 0 {
			continue
		}
		for i, w := range widths {
			if i == 0 {
				b.WriteString("| " + strings.Repeat("-", w))
			} else {
				b.WriteString(" | " + strings.Repeat("-", w-1) + ":")
			}
		}
		b.WriteString(" |\n")
	}
}

// number writes three digits or so.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case a == 0:
		return "0"
	case a >= 100:
		return thousands(int(math.Round(v)))
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func ratio(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}
