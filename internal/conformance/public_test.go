package conformance

import (
	"bufio"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// verdict is what the public suite says of a case.
type verdict string

const (
	ok            verdict = "OK"
	nonStrict     verdict = "NON-STRICT"
	informational verdict = "INFORMATIONAL" // the case has no right outcome
	unimplemented verdict = "UNIMPLEMENTED" // the server did not agree on compression
	failed        verdict = "FAILED"
	unclean       verdict = "UNCLEAN"    // no close handshake, or no end in order
	wrongCode     verdict = "WRONG CODE" // of the server's close frame
)

// publicCase is one case of the Autobahn test suite, made anew from what its
// definition says. Where the original waits for a time to pass, this one waits for
// what must happen. It is stricter in three ways: the payload of an echo is compared
// as a whole, a close frame with the right code is needed even where the original
// lets a server drop the connection, and behind it the connection must end in order.
type publicCase struct {
	number string
	path   string // of the endpoint; default "/"
	offer  string // of compression

	// play is what the client does, up to its close frame if that is part of the
	// case; else one with 1000 follows, once all of want has come.
	play func(c *client) error

	want []event // OK
	lax  []event // NON-STRICT, if not nil

	// fails: the server has to close first, of itself. codes are what it may say
	// then, or answer; default 1000.
	fails bool
	codes []uint16

	told  bool          // INFORMATIONAL, whatever happens
	limit time.Duration // default patience
}

// timeout is an event of the cases that wait for nothing to happen.
const opTimeout = 0xf0

// run plays the case and tells the verdicts on what came and on how it was closed.
func (p publicCase) run(t testing.TB, s *server) (behavior, closing verdict, details string) {
	offer := ""
	if p.offer != "" {
		offer = "Sec-WebSocket-Extensions: " + p.offer + "\r\n"
	}
	path := p.path
	if path == "" {
		path = "/"
	}
	c := s.dial(t, path, offer)
	c.wait(max(p.limit, patience))
	if p.offer != "" && !c.deflate {
		return unimplemented, ok, "no compression was agreed on"
	}
	played := p.play(c)
	if !p.fails && !c.said {
		c.await(len(p.want))
		c.close(1000, "")
	}
	c.finish()

	codes := p.codes
	if codes == nil {
		codes = []uint16{1000}
	}
	behavior, closing = ok, ok
	switch {
	case played != nil:
		behavior = failed
	case slices.Equal(c.heard, p.want):
	case p.lax != nil && slices.Equal(c.heard, p.lax):
		behavior = nonStrict
	default:
		behavior = failed
	}
	switch err := c.orderly(); {
	case err != nil:
		closing = unclean
	case c.first != p.fails:
		closing = failed
	case !slices.Contains(codes, c.code):
		closing = wrongCode
	}
	if p.told {
		if closing == unclean {
			behavior = failed // the one thing that is not for an implementation to choose
		} else {
			behavior, closing = informational, informational
		}
	}
	return behavior, closing, fmt.Sprintf("%v; heard %v, want %v; closed %t by the server first %t with %d %q, want %v; %v",
		played, c.heard, p.want, c.closed, c.first, c.code, c.reason, codes, c.orderly())
}

// published is the list of the suite's cases, version 25.10.1 and those before it
// back to 0.7.6: sections 1 to 7, 9, 10, 12 and 13 (there are no others).
//
//go:embed testdata/published.txt
var published string

func numbers(t *testing.T) (list []string) {
	t.Helper()
	for lines := bufio.NewScanner(strings.NewReader(published)); lines.Scan(); {
		list = append(list, strings.Fields(lines.Text())...)
	}
	if len(list) != 517 {
		t.Fatalf("%d cases, want 517", len(list))
	}
	return list
}

func publicCases() []publicCase {
	return slices.Concat(framingCases(), pingCases(), bitCases(), opcodeCases(), fragmentCases(), textCases(),
		sequenceCases(), closeCases(), limitCases(), compressionCases())
}

// TestPublicSuiteIsComplete: there is each published case, once, and in order.
func TestPublicSuiteIsComplete(t *testing.T) {
	var have []string
	for _, p := range publicCases() {
		have = append(have, p.number)
	}
	if want := numbers(t); !slices.Equal(have, want) {
		for _, n := range want {
			if !slices.Contains(have, n) {
				t.Errorf("case %s is missing", n)
			}
		}
		t.Errorf("%d cases, want %d: %v", len(have), len(want), have)
	}
}

func TestPublicSuite(t *testing.T) {
	var servers []*server
	for _, on := range available(t) {
		servers = append(servers, serving(t, on))
	}
	var count tally
	for turn, p := range publicCases() {
		t.Run(p.number, func(t *testing.T) {
			for on, s := range servers {
				for _, p := range p.variants(turn, on, len(servers)) {
					name := strings.TrimRight(s.name+" "+strings.Trim(p.path, "/"), " ")
					t.Run(name, func(t *testing.T) {
						behavior, closing, details := p.run(t, s)
						count.add(p.number, name, behavior)
						right := behavior == ok && closing == ok || p.told && behavior == informational
						if !right {
							t.Errorf("%s, closed: %s: %s", behavior, closing, details)
						}
					})
				}
			}
		})
	}
	t.Logf("\n%v", &count)
}

// variants of a case that needs compression are those that the server can be
// configured for. For a short run one of them on one target must do, and cases take
// turns.
func (p publicCase) variants(turn, on, of int) []publicCase {
	if p.offer == "" {
		return []publicCase{p}
	}
	with, without := p, p
	with.path, without.path = "/takeover", "/alone"
	switch {
	case extent != "":
		return []publicCase{with, without}
	case turn%of != on:
		return nil
	case turn/of%2 == 0:
		return []publicCase{with}
	}
	return []publicCase{without}
}

// tally counts verdicts by section and target.
type tally struct {
	mu       sync.Mutex
	sections []string
	names    []string
	counts   map[[3]string]int
}

func (c *tally) add(number, name string, v verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	section, _, _ := strings.Cut(number, ".")
	if !slices.Contains(c.sections, section) {
		c.sections = append(c.sections, section)
	}
	if !slices.Contains(c.names, name) {
		c.names = append(c.names, name)
	}
	if c.counts == nil {
		c.counts = map[[3]string]int{}
	}
	c.counts[[3]string{section, name, string(v)}]++
}

// String is a table in Markdown.
func (c *tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| section | %s |\n|%s\n", strings.Join(c.names, " | "), strings.Repeat(" --- |", 1+len(c.names)))
	for _, section := range c.sections {
		fmt.Fprintf(&b, "| %s |", section)
		for _, name := range c.names {
			var cell []string
			for _, v := range []verdict{ok, nonStrict, informational, unimplemented, failed} {
				if n := c.counts[[3]string{section, name, string(v)}]; n > 0 {
					cell = append(cell, fmt.Sprintf("%d %s", n, v))
				}
			}
			fmt.Fprintf(&b, " %s |", strings.Join(cell, ", "))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
