//go:build linux

package report

import (
	"math"
	"slices"

	"github.com/troupe-actors/troupe/cmd/bench/internal/load"
	"github.com/troupe-actors/troupe/cmd/bench/internal/server"
)

// Report is all that was measured.
type Report struct {
	Machine, Kernel, Go, Commit, Date, Command string
	LoadAverage                                string // before it began
	Entries                                    []*Entry
}

// Entry is a server under the load of a case.
type Entry struct {
	Case   string
	Server string
	Rounds []load.Result
	Errors []string           `json:",omitempty"`
	Median map[string]float64 // by the metric's name
	Spread float64            // of the case's metric: (highest - lowest) / median

	of Case
}

// Add is one round's result of a server.
func (r *Report) Add(c Case, name string, result load.Result, err error) {
	e := r.entry(c, name)
	if err != nil {
		e.Errors = append(e.Errors, err.Error())
		return
	}
	e.Rounds = append(e.Rounds, result)
	for _, m := range c.columns() {
		e.Median[m.Name] = Median(e.values(m))
	}
	if v := e.values(c.Metric); e.Value(c.Metric) != 0 {
		e.Spread = (slices.Max(v) - slices.Min(v)) / math.Abs(e.Value(c.Metric))
	}
}

func (r *Report) entry(c Case, name string) *Entry {
	if e := r.find(c.Name, name); e != nil {
		return e
	}
	e := &Entry{Case: c.Name, Server: name, Median: map[string]float64{}, of: c}
	r.Entries = append(r.Entries, e)
	return e
}

func (r *Report) find(name, server string) *Entry {
	for _, e := range r.Entries {
		if e.Case == name && e.Server == server {
			return e
		}
	}
	return nil
}

func (e *Entry) values(m Metric) []float64 {
	var v []float64
	for _, r := range e.Rounds {
		v = append(v, m.Of(r))
	}
	return v
}

// Value is the median of a metric over the rounds, NaN if there was none.
func (e *Entry) Value(m Metric) float64 {
	if e == nil || len(e.Rounds) == 0 {
		return math.NaN()
	}
	return Median(e.values(m))
}

// value is that of a server in a case.
func (r *Report) value(name, server string, m Metric) float64 { return r.find(name, server).Value(m) }

// best is the best peer in a case, "" if there is none.
func (r *Report) best(name string, m Metric) string {
	best := ""
	for _, e := range r.Entries {
		if e.Case != name || !server.IsPeer(e.Server) || len(e.Rounds) == 0 {
			continue
		}
		if v, b := e.Value(m), r.value(name, best, m); best == "" || (m.More && v > b) || (!m.More && v < b) {
			best = e.Server
		}
	}
	return best
}

// cases are those that were measured, in order.
func (r *Report) cases() []Case {
	var cs []Case
	for _, e := range r.Entries {
		if !slices.ContainsFunc(cs, func(c Case) bool { return c.Name == e.Case }) {
			cs = append(cs, e.of)
		}
	}
	return cs
}

// Median is the middle of some numbers, or the mean of the two middle ones; NaN
// of none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	half := len(v) / 2
	if len(v)%2 == 1 {
		return v[half]
	}
	return (v[half-1] + v[half]) / 2
}
