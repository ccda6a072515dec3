//go:build linux

// Package report is what is compared, and what came of it: the cases, medians
// over rounds, ratios, budgets, a table and plots.
package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/cmd/bench/internal/load"
	"github.com/troupe-actors/troupe/cmd/bench/internal/server"
)

// Case is a load that every server which has what it takes is put under.
type Case struct {
	Name    string
	Title   string
	Spec    load.Spec
	Options server.Options

	// Metric is the one that ratios are of.
	Metric Metric

	quick bool // one of its kind, for Quick
}

// Metric is a number of a result.
type Metric struct {
	Name string // with its unit
	Of   func(load.Result) float64
	More bool // is better
}

var (
	bytesEach  = Metric{"bytes", func(r load.Result) float64 { return r.Bytes }, false}
	heapEach   = Metric{"heap", func(r load.Result) float64 { return r.HeapBytes }, false}
	goroutines = Metric{"goroutines", func(r load.Result) float64 { return r.Goroutines }, false}
	perSecond  = Metric{"per s", func(r load.Result) float64 { return r.PerSecond }, true}
	cpuEach    = Metric{"CPU µs", func(r load.Result) float64 { return r.CPUMicros }, false}
	userEach   = Metric{"user µs", func(r load.Result) float64 { return r.CPUUserMicros }, false}
	sysEach    = Metric{"sys µs", func(r load.Result) float64 { return r.CPUSysMicros }, false}
	allocs     = Metric{"allocs", func(r load.Result) float64 { return r.Allocations }, false}
	p50        = Metric{"p50 µs", func(r load.Result) float64 { return r.P50Micros }, false}
	p99        = Metric{"p99 µs", func(r load.Result) float64 { return r.P99Micros }, false}
	p999       = Metric{"p99.9 µs", func(r load.Result) float64 { return r.P999Micros }, false}
	peak       = Metric{"RSS MB", func(r load.Result) float64 { return float64(r.Peak) / 1e6 }, false}
	lost       = Metric{"lost", func(r load.Result) float64 { return float64(r.Lost + r.Disordered + r.Closed) }, false}
	busy       = Metric{"client busy", func(r load.Result) float64 { return r.Busy }, false}
)

// columns are the metrics a case's table shows.
func (c Case) columns() []Metric {
	switch c.Spec.Kind {
	case load.Idle:
		return []Metric{bytesEach, heapEach, goroutines}
	case load.Handshake:
		return []Metric{perSecond, cpuEach, userEach, sysEach, allocs, p50, p99, busy}
	}
	return []Metric{perSecond, cpuEach, userEach, sysEach, allocs, p50, p99, p999, peak, lost, busy}
}

// Cases are all there are.
func Cases() []Case {
	var cs []Case
	add := func(name, title string, m Metric, s load.Spec, o server.Options) *Case {
		s.SSE, s.TLS, s.Deflate = o.SSE, o.TLS, o.Deflate
		cs = append(cs, Case{Name: name, Title: title, Spec: s, Options: o, Metric: m})
		return &cs[len(cs)-1]
	}
	var plain server.Options
	settle := 3 * time.Second
	for _, n := range []int{1000, 5000, 15000} {
		add(fmt.Sprintf("idle-%d", n), fmt.Sprintf("%s idle WebSockets: bytes each", thousands(n)), bytesEach,
			load.Spec{Kind: load.Idle, Conns: n, For: settle}, plain).quick = n == 1000
	}
	add("idle-sse-5000", "5,000 idle streams of server-sent events: bytes each", bytesEach,
		load.Spec{Kind: load.Idle, Conns: 5000, For: settle}, server.Options{SSE: true})
	add("idle-tls-1000", "1,000 idle WebSockets over TLS: bytes each", bytesEach,
		load.Spec{Kind: load.Idle, Conns: 1000, For: settle}, server.Options{TLS: true})
	add("handshake", "handshakes, 64 at a time", cpuEach,
		load.Spec{Kind: load.Handshake, Conns: 5000}, plain).quick = true
	add("handshake-tls", "handshakes over TLS", cpuEach,
		load.Spec{Kind: load.Handshake, Conns: 500, Window: 16}, server.Options{TLS: true})
	for _, size := range []int{64, 128, 1 << 10, 16 << 10} {
		for _, n := range []int{1, 100, 1000} {
			add(fmt.Sprintf("echo-%dx%d", size, n), fmt.Sprintf("echo, %s bytes, %s connections", thousands(size), thousands(n)), cpuEach,
				load.Spec{Kind: load.Echo, Conns: n, Size: size, For: 2 * time.Second}, plain).quick = size == 128 && n == 100
		}
	}
	for _, n := range []int{1, 100} {
		add(fmt.Sprintf("pipelined-128x%d", n), fmt.Sprintf("echo, 128 bytes, %d connections, 16 in flight on each", n), cpuEach,
			load.Spec{Kind: load.Echo, Conns: n, Depth: 16, For: 2 * time.Second}, plain)
	}
	for _, b := range []struct{ n, repeat int }{{1, 50}, {100, 20}, {1000, 6}, {5000, 4}, {10000, 3}} {
		add(fmt.Sprintf("burst-%d", b.n), fmt.Sprintf("100 messages at once to %s subscribers", thousands(b.n)), perSecond,
			load.Spec{Kind: load.Fanout, Conns: b.n, Messages: 100, Repeat: b.repeat}, plain).quick = b.n == 100
	}
	for _, n := range []int{1, 100, 2000, 10000} {
		add(fmt.Sprintf("paced-%d", n), fmt.Sprintf("20 messages a second to %s subscribers", thousands(n)), cpuEach,
			load.Spec{Kind: load.Fanout, Conns: n, Messages: 60, Gap: 50 * time.Millisecond}, plain).quick = n == 100
	}
	add("stalled", "100 messages a second of 4 KiB to 1,000 subscribers, and 10 who do not read", cpuEach,
		load.Spec{Kind: load.Fanout, Conns: 1000, Stalled: 10, Size: 4 << 10, Messages: 200, Gap: 10 * time.Millisecond}, plain)
	add("churn", "echo on 500 connections, each replaced after 20 messages, and 50 messages a second to 200 subscribers", cpuEach,
		load.Spec{Kind: load.Churn, Conns: 500, Life: 20, For: 2 * time.Second, Listeners: 200, Gap: 20 * time.Millisecond}, plain).quick = true
	add("send", "20,000 messages to one user each, of 100,000 (10,000 connected)", cpuEach,
		load.Spec{Kind: load.Send, Conns: 10000, Messages: 20000, Repeat: 3}, server.Options{Phantoms: 90000}).quick = true
	add("burst-sse-1000", "100 server-sent events at once to 1,000 subscribers", perSecond,
		load.Spec{Kind: load.Fanout, Conns: 1000, Messages: 100, Repeat: 6}, server.Options{SSE: true}).quick = true
	add("paced-sse-1000", "20 server-sent events a second to 1,000 subscribers", cpuEach,
		load.Spec{Kind: load.Fanout, Conns: 1000, Messages: 60, Gap: 50 * time.Millisecond}, server.Options{SSE: true})
	add("echo-deflate-1024x100", "echo, 1,024 bytes of JSON, deflated, 100 connections", cpuEach,
		load.Spec{Kind: load.Echo, Conns: 100, Size: 1 << 10, For: 2 * time.Second}, server.Options{Deflate: true}).quick = true
	add("burst-deflate-1000", "100 messages of 1,024 bytes of JSON, deflated, at once to 1,000 subscribers", perSecond,
		load.Spec{Kind: load.Fanout, Conns: 1000, Size: 1 << 10, Messages: 100, Repeat: 6}, server.Options{Deflate: true})
	add("echo-tls-128x100", "echo, 128 bytes, 100 connections, over TLS", cpuEach,
		load.Spec{Kind: load.Echo, Conns: 100, For: 2 * time.Second}, server.Options{TLS: true}).quick = true
	return cs
}

// Quick is one case of each kind, so small that it tells only whether all works.
func Quick(cs []Case) []Case {
	var quick []Case
	for _, c := range cs {
		if !c.quick {
			continue
		}
		c.Spec.Conns = min(c.Spec.Conns, 20)
		c.Spec.For = min(c.Spec.For, 60*time.Millisecond)
		c.Spec.Messages = min(c.Spec.Messages, 20)
		c.Spec.Gap = min(c.Spec.Gap, 2*time.Millisecond)
		c.Spec.Repeat = min(c.Spec.Repeat, 2)
		c.Spec.Listeners = min(c.Spec.Listeners, 20)
		c.Options.Phantoms = min(c.Options.Phantoms, 20)
		quick = append(quick, c)
	}
	return quick
}

// Servers are the implementations that can be put under the case, of those named.
func (c Case) Servers(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return server.Lacks(name, c.Options) != "" })
}

// thousands writes 15000 as 15,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	var parts []string
	for len(s) > 3 && n >= 0 {
		parts = append([]string{s[len(s)-3:]}, parts...)
		s = s[:len(s)-3]
	}
	return strings.Join(append([]string{s}, parts...), ",")
}
