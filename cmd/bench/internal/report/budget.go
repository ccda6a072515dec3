//go:build linux

package report

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// ours is the server that must keep the budgets.
const ours = "troupe-poller"

// budget is a promise about a case. Exactly one of to and limit's own unit
// counts: a ratio to another server, or to nothing.
type budget struct {
	text    string
	caseOf  string
	metric  Metric
	to      string // a server, bestPeer, or "": the limit is the number itself
	limit   float64
	atLeast bool
}

const bestPeer = "best peer"

var budgets = []budget{
	{"resident bytes of an idle channel", "idle-15000", bytesEach, "", 1000, false},
	{"resident bytes, to the best peer's bare connection", "idle-15000", bytesEach, bestPeer, 1, false},
	{"goroutines of an idle channel", "idle-15000", goroutines, "", 0.005, false},
	{"echo: CPU to the floor's", "echo-128x1000", cpuEach, "floor", 1.10, false},
	{"echo: CPU to gws's", "echo-128x1000", cpuEach, "gws", 0.85, false},
	{"echo: allocations a message", "echo-128x1000", allocs, "", 0.01, false},
	{"burst: deliveries a second to gws's", "burst-5000", perSecond, "gws", 10, true},
	{"burst: deliveries a second to the floor's", "burst-5000", perSecond, "floor", 6, true},
	{"burst: allocations a delivery", "burst-5000", allocs, "", 0.01, false},
	{"paced: CPU to the floor's", "paced-2000", cpuEach, "floor", 1, false},
	{"paced: p99 to the best peer's", "paced-2000", p99, bestPeer, 1, false},
	{"ping-pong: p99 to the best peer's", "echo-128x1", p99, bestPeer, 1, false},
	{"handshake: CPU to the best peer's", "handshake", cpuEach, bestPeer, 1, false},
}

// Budgeted are the cases that budgets are about.
func Budgeted(cs []Case) []Case {
	var those []Case
	for _, c := range cs {
		for _, b := range budgets {
			if b.caseOf == c.Name {
				those = append(those, c)
				break
			}
		}
	}
	return those
}

// WriteBudgets says of each budget whose case was measured whether it is kept,
// and returns how many are not.
func (r *Report) WriteBudgets(w io.Writer) (missed int, err error) {
	rows := [][]string{{"budget", "want", "is", ""}}
	for _, b := range budgets {
		is := b.of(r)
		if math.IsNaN(is) {
			continue
		}
		verdict, sign := "kept", "≤"
		if b.atLeast {
			sign = "≥"
		}
		if b.atLeast && is < b.limit || !b.atLeast && is > b.limit {
			verdict = "MISSED"
			missed++
		}
		rows = append(rows, []string{b.text, fmt.Sprintf("%s %s", sign, number(b.limit)), number(is), verdict})
	}
	if len(rows) == 1 {
		return 0, nil
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\n### budgets of %s\n\n", ours)
	align(&text, rows)
	_, err = io.WriteString(w, text.String())
	return missed, err
}

// of is what the budget comes to, NaN if its case or server was not measured.
func (b budget) of(r *Report) float64 {
	v := r.value(b.caseOf, ours, b.metric)
	switch b.to {
	case "":
		return v
	case bestPeer:
		return v / r.value(b.caseOf, r.best(b.caseOf, b.metric), b.metric)
	}
	return v / r.value(b.caseOf, b.to, b.metric)
}
