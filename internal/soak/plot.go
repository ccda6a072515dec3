package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// The plot, in pixels. Its colours are read on white and on black.
const (
	plotWidth   = 880
	plotLeft    = 70
	plotRight   = 700
	panelHeight = 130
	panelTop    = 90 // of the first
	panelStep   = panelHeight + 50

	ink   = "#7a828e"
	blue  = "#3b82f6"
	amber = "#e8590c"
)

// curve is a line of a panel.
type curve struct {
	name, color string
	values      []float64
}

// draw is the samples as an SVG: one panel below the other, over the same time. All
// begin at zero.
func (s *soak) draw() []byte {
	var resident, heap, channels, goroutines, written, waiting []float64
	var last sample
	for _, x := range s.Samples {
		resident, heap = append(resident, mib(x.Resident)), append(heap, mib(x.Heap))
		channels, goroutines = append(channels, float64(x.Channels)), append(goroutines, float64(x.Goroutines))
		written = append(written, float64(x.Written-last.Written)/(x.Second-last.Second))
		waiting = append(waiting, mib(int(x.BytesWaiting)))
		last = x
	}
	panels := []struct {
		title  string
		curves []curve
	}{
		{"memory, MiB, and its rise over the last two thirds", []curve{{"resident" + s.rise("resident"), blue, resident}, {"live heap" + s.rise("heap"), amber, heap}}},
		{"how many", []curve{{"channels", blue, channels}, {"goroutines", amber, goroutines}}},
		{"messages to peers, a second", []curve{{"written", blue, written}}},
		{"waiting for slow peers, MiB", []curve{{"all channels", blue, waiting}}},
	}
	height := panelTop + len(panels)*panelStep + 10
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12" fill="%s">`+"\n", plotWidth, height, ink)
	for i, line := range []string{s.Command + ", " + s.Started.Format("2006-01-02") + ", " + s.System, s.Ends} {
		for j, part := range fold(line, 130) {
			fmt.Fprintf(&b, `<text x="10" y="%d">%s</text>`+"\n", 20+i*18+j*16, html.EscapeString(part))
		}
	}
	for i, p := range panels {
		s.panel(&b, panelTop+i*panelStep, p.title, p.curves)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// rise is what is said of a line over the last two thirds.
func (s *soak) rise(name string) string {
	if r, ok := s.Rises[name]; ok {
		return fmt.Sprintf(", %+.1f%%", 100*r)
	}
	return ""
}

func (s *soak) panel(b *bytes.Buffer, top int, title string, curves []curve) {
	most := 0.0
	for _, c := range curves {
		for _, v := range c.values {
			most = max(most, v)
		}
	}
	most = roof(most)
	end := 1.0
	if n := len(s.Samples); n > 0 {
		end = s.Samples[n-1].Second
	}
	x := func(second float64) float64 { return plotLeft + second/end*(plotRight-plotLeft) }
	y := func(v float64) float64 { return float64(top+20) + panelHeight*(1-v/most) }

	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="600">%s</text>`+"\n", plotLeft, top+10, title)
	for _, part := range []float64{0, 0.5, 1} {
		v := most * part
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="%s" stroke-opacity="0.35"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			plotLeft, y(v), plotRight, ink, plotLeft-6, y(v)+4, strconv.FormatFloat(v, 'f', -1, 64))
	}
	for _, part := range []float64{0, 0.25, 0.5, 0.75, 1} {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%.0f s</text>`+"\n", x(end*part), top+20+panelHeight+15, end*part)
	}
	label := math.Inf(-1) // the height of the one above, so that they do not meet
	for _, c := range curves {
		var points strings.Builder
		for i, v := range c.values {
			fmt.Fprintf(&points, "%.1f,%.1f ", x(s.Samples[i].Second), y(v))
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", strings.TrimSpace(points.String()), c.color)
		if n := len(c.values); n > 0 {
			label = max(y(c.values[n-1])+4, label+16)
			fmt.Fprintf(b, `<text x="%d" y="%.1f" fill="%s">%s</text>`+"\n", plotRight+8, label, c.color, c.name)
		}
	}
}

// roof is the least of 1, 1.5, 2, 3, 4, 6 and 10 times a power of ten that is not below v.
func roof(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, k := range []float64{1, 1.5, 2, 3, 4, 6} {
		if v <= k*unit {
			return k * unit
		}
	}
	return 10 * unit
}

// fold breaks a line at blanks.
func fold(line string, width int) (parts []string) {
	for len(line) > width {
		at := strings.LastIndexByte(line[:width], ' ')
		if at <= 0 {
			break
		}
		parts, line = append(parts, line[:at]), line[at+1:]
	}
	return append(parts, line)
}
