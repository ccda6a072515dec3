//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-actors/troupe/cmd/bench/internal/cores"
	"github.com/troupe-actors/troupe/cmd/bench/internal/load"
	"github.com/troupe-actors/troupe/cmd/bench/internal/report"
	"github.com/troupe-actors/troupe/cmd/bench/internal/server"
)

// cellLimit is how long a server may take under a load.
const cellLimit = 3 * time.Minute

func compare(args []string) error {
	fs := flag.NewFlagSet("compare", flag.ExitOnError)
	serverCPUs, loadCPUs := cores.Split()
	only := fs.String("only", "", "the cases whose names match this regular expression")
	impls := fs.String("impl", "", "the servers whose names match this regular expression")
	rounds := fs.Int("rounds", 3, "how often to measure everything")
	budgets := fs.Bool("budgets", false, "only the cases that budgets are about")
	quick := fs.Bool("quick", false, "does it all work? The numbers mean nothing")
	jsonFile := fs.String("json", "", "write all results to this file")
	plots := fs.String("plots", "", "draw density, burst and echo (idle-15000, burst-5000, echo-128x1000) as SVGs in this folder")
	fs.StringVar(&serverCPUs, "server-cpus", serverCPUs, "the processors for servers")
	fs.StringVar(&loadCPUs, "load-cpus", loadCPUs, "the processors for load generators")
	_ = fs.Parse(args)

	cases := report.Cases()
	if *budgets {
		cases = report.Budgeted(cases)
	}
	if *quick {
		cases, *rounds = report.Quick(cases), 1
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	named, err := regexp.Compile(*impls)
	if err != nil {
		return err
	}
	var names []string
	for _, name := range server.Names() {
		if named.MatchString(name) {
			names = append(names, name)
		}
	}
	if serverCPUs == "" || loadCPUs == "" {
		fmt.Fprintln(os.Stderr, "one processor for both: servers and load generators take turns on it, which the numbers show")
	}

	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &contest{self: self, serverCPUs: serverCPUs, loadCPUs: loadCPUs, budgets: !*quick, result: about(args)}
	for _, one := range cases {
		if servers := one.Servers(names); pattern.MatchString(one.Name) && len(servers) > 0 {
			c.cases = append(c.cases, one)
			c.total += len(servers) * *rounds
		}
	}
	for round := range *rounds {
		c.round(ctx, round, names)
	}
	return c.finish(*jsonFile, *plots)
}

// contest is a comparison under way.
type contest struct {
	self                 string
	serverCPUs, loadCPUs string
	cases                []report.Case
	budgets              bool // do the numbers mean anything?
	result               *report.Report
	done, total, failed  int
	start                time.Time
}

// round measures everything once: within a case one server right after the other,
// in another order each time, so that what else the machine does favours none.
func (c *contest) round(ctx context.Context, round int, names []string) {
	if c.start.IsZero() {
		c.start = time.Now()
	}
	for _, one := range c.cases {
		servers := one.Servers(names)
		for i := range servers {
			name := servers[(i+round*3)%len(servers)]
			if ctx.Err() != nil {
				return
			}
			result, err := c.cell(ctx, one, name)
			if ctx.Err() != nil {
				return
			}
			c.result.Add(one, name, result, err)
			c.tell(round, one, name, result, err)
		}
	}
}

// tell shows how far it is.
func (c *contest) tell(round int, one report.Case, name string, r load.Result, err error) {
	c.done++
	took := time.Since(c.start)
	left := took / time.Duration(c.done) * time.Duration(c.total-c.done)
	what := fmt.Sprintf("%.0f/s, %.2f µs CPU, p99 %.0f µs", r.PerSecond, r.CPUMicros, r.P99Micros)
	if one.Spec.Kind == load.Idle {
		what = fmt.Sprintf("%.0f bytes, %.2f goroutines each", r.Bytes, r.Goroutines)
	}
	if err != nil {
		c.failed++
		what = "FAILED: " + err.Error()
	}
	fmt.Fprintf(os.Stderr, "[%d/%d %v, %v left] round %d %s %s: %s\n",
		c.done, c.total, took.Round(time.Second), left.Round(time.Second), round+1, one.Name, name, what)
}

// cell is one server under one load, each a process on its own processors.
func (c *contest) cell(ctx context.Context, one report.Case, name string) (r load.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, cellLimit)
	defer cancel()
	var complaints bytes.Buffer
	s := exec.CommandContext(ctx, c.self, "server", "-impl", name, "-cpus", c.serverCPUs,
		"-deflate="+strconv.FormatBool(one.Options.Deflate), "-tls="+strconv.FormatBool(one.Options.TLS),
		"-sse="+strconv.FormatBool(one.Options.SSE), "-phantoms", strconv.Itoa(one.Options.Phantoms))
	s.Env = append(os.Environ(), "ADDR=127.0.0.1:0")
	s.Stderr = &complaints
	out, err := s.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := s.Start(); err != nil {
		return r, err
	}
	defer func() {
		_ = s.Process.Kill() // it has nothing to say any more
		_ = s.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), listening)
	if err != nil || !ok {
		_ = s.Wait()
		return r, fmt.Errorf("the server did not start: %s", bytes.TrimSpace(complaints.Bytes()))
	}

	l := exec.CommandContext(ctx, c.self, append([]string{"load", "-cpus", c.loadCPUs}, flags(one.Spec)...)...)
	l.Env = append(os.Environ(), "ADDR="+addr)
	b, err := l.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return r, fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(b, &r)
}

// flags is a load as the flags of bench load.
func flags(s load.Spec) []string {
	return []string{
		"-kind", s.Kind, "-conns", strconv.Itoa(s.Conns), "-size", strconv.Itoa(s.Size), "-depth", strconv.Itoa(s.Depth),
		"-for", s.For.String(), "-life", strconv.Itoa(s.Life), "-messages", strconv.Itoa(s.Messages), "-gap", s.Gap.String(),
		"-repeat", strconv.Itoa(s.Repeat), "-stalled", strconv.Itoa(s.Stalled), "-listeners", strconv.Itoa(s.Listeners), "-window", strconv.Itoa(s.Window),
		"-tls=" + strconv.FormatBool(s.TLS), "-sse=" + strconv.FormatBool(s.SSE), "-deflate=" + strconv.FormatBool(s.Deflate),
	}
}

// finish writes what there is.
func (c *contest) finish(jsonFile, plots string) error {
	if err := c.result.Write(os.Stdout); err != nil {
		return err
	}
	missed := 0
	if c.budgets {
		var err error
		if missed, err = c.result.WriteBudgets(os.Stdout); err != nil {
			return err
		}
	}
	if jsonFile != "" {
		b, err := json.MarshalIndent(c.result, "", "\t")
		if err != nil {
			return err
		}
		if err := os.WriteFile(jsonFile, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	if plots != "" {
		if err := c.result.Plot(plots); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "%d of %d measured in %v, %d failed, %d budgets missed\n",
		c.done, c.total, time.Since(c.start).Round(time.Second), c.failed, missed)
	if c.failed > 0 || c.done < c.total {
		return fmt.Errorf("%d of %d were not measured", c.failed+c.total-c.done, c.total)
	}
	return nil
}

// about says where, when and of what the numbers are.
func about(args []string) *report.Report {
	r := &report.Report{
		Go:      runtime.Version(),
		Date:    time.Now().UTC().Format("2006-01-02 15:04 MST"),
		Command: strings.Join(append([]string{"bench", "compare"}, args...), " "),
		Commit:  "unknown",
		Machine: fmt.Sprintf("%d processors", runtime.NumCPU()),
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(b); m != nil {
			r.Machine += ", " + string(m[1])
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		r.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		r.LoadAverage, _, _ = strings.Cut(string(b), " ")
	}
	if b, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		r.Commit = strings.TrimSpace(string(b))
	}
	return r
}
