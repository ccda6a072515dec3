//go:build linux

package report

import (
	"encoding/xml"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/troupe-actors/troupe/cmd/bench/internal/server"
)

// plotted are the cases that a README has room for.
var plotted = []string{"idle-15000", "burst-5000", "echo-128x1000"}

// Plot draws those of them that were measured as bars, one SVG each in a folder.
func (r *Report) Plot(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, c := range r.cases() {
		if !slices.Contains(plotted, c.Name) {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, c.Name+".svg"), r.bars(c, c.Metric), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const (
	plotWidth = 720
	barLeft   = 150
	barRight  = 110 // for the number
	barHeight = 24
	plotHead  = 52
)

// bars is one bar for each server, the number beside it.
func (r *Report) bars(c Case, m Metric) []byte {
	type bar struct {
		name  string
		value float64
	}
	var all []bar
	most := 0.0
	for _, name := range server.Names() {
		if v := r.value(c.Name, name, m); !math.IsNaN(v) {
			all = append(all, bar{name, v})
			most = max(most, v)
		}
	}
	better := "less is better"
	if m.More {
		better = "more is better"
	}
	height := plotHead + len(all)*barHeight + 12
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="13">`+"\n", plotWidth, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", plotWidth, height)
	fmt.Fprintf(&b, `<text x="12" y="22" font-size="15" font-weight="600" fill="#1f2328">%s</text>`+"\n", escape(c.Title))
	fmt.Fprintf(&b, `<text x="12" y="40" fill="#59636e">%s, %s</text>`+"\n", escape(m.Name), better)
	for i, bar := range all {
		y := plotHead + i*barHeight
		width := 0.0
		if most > 0 {
			width = max(bar.value, 0) / most * (plotWidth - barLeft - barRight)
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" fill="#1f2328">%s</text>`, barLeft-8, y+16, escape(bar.name))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, barLeft, y+3, width, barHeight-6, colour(bar.name))
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" fill="#1f2328">%s</text>`+"\n", barLeft+width+6, y+16, number(bar.value))
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// colour tells ours, theirs and the floor apart.
func colour(name string) string {
	switch {
	case name == "floor":
		return "#afb8c1"
	case server.IsPeer(name):
		return "#6e9bd6"
	}
	return "#d1582b"
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
