package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const jsGuests = 45

// jsGuest is what a JavaScript client tells of itself.
type jsGuest struct {
	UID               string
	Said              int
	Kept, Unknown     []int // of what it said: acknowledged, and not, when its session ended
	Codes             []string
	Sessions          int // after the first
	Wrong, Twice      int // heard twice or too late in one session; heard again in another
	Heard             int
	Waits             []float64 // after each goodbye, until it came back, in ms
	Status, Transport string
}

// jsCrowd is their process.
type jsCrowd struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func inviteJS(url string) (*jsCrowd, error) {
	_, here, _, _ := runtime.Caller(0) // go run is for a checkout
	j := &jsCrowd{cmd: exec.Command("node", filepath.Join(filepath.Dir(here), "roll.mjs"), url, strconv.Itoa(jsGuests))}
	j.cmd.Stderr = os.Stderr
	in, err := j.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := j.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	j.in, j.out = in, bufio.NewReader(out)
	return j, j.cmd.Start()
}

func (j *jsCrowd) ask(what string) (all []jsGuest, err error) {
	if _, err := io.WriteString(j.in, what+"\n"); err != nil {
		return nil, fmt.Errorf("the JavaScript clients: %w", err)
	}
	line, err := j.out.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the JavaScript clients: %w", err)
	}
	return all, json.Unmarshal(line, &all)
}

func (j *jsCrowd) part() {
	_ = j.in.Close() // it ends by that
	_ = j.cmd.Wait()
}

// talking waits until all are connected and hear each other, and go on to.
func (j *jsCrowd) talking() error {
	before, err := j.ask("look")
	if err != nil {
		return err
	}
	return eventually("all JavaScript clients talk", func() error {
		now, err := j.ask("look")
		if err != nil {
			return err
		}
		for i, g := range now {
			if g.Status != "open" || g.Heard < before[i].Heard+5*jsGuests || len(g.Kept) < len(before[i].Kept)+5 {
				return fmt.Errorf("%s is %s, said %d, heard %d", g.UID, g.Status, len(g.Kept), g.Heard)
			}
		}
		return nil
	})
}

// rolling restarts one node after the other, as a deploy does.
func rolling(st *stage) error {
	if err := st.found("a", "b", "c"); err != nil {
		return err
	}
	b, err := balance(st.nodes[0].Web, st.nodes[1].Web, st.nodes[2].Web)
	if err != nil {
		return err
	}
	st.undo = append(st.undo, b.close)
	if err := b.uses(len(st.nodes)); err != nil {
		return err
	}
	js, err := inviteJS("http://" + b.l.Addr().String() + "/events")
	if err != nil {
		return err
	}
	st.undo = append([]func(){js.part}, st.undo...)
	if err := js.talking(); err != nil {
		return err
	}
	handled := map[string][]int{}
	note := func(r report) {
		for uid, ns := range r.Diary.Handled {
			handled[uid] = append(handled[uid], ns...)
		}
	}
	for i, n := range st.nodes {
		others := slices.Delete(slices.Clone(st.nodes), i, i+1)
		known, err := all(others)
		if err != nil {
			return err
		}
		was, err := js.ask("look")
		if err != nil {
			return err
		}
		refused := b.refusals(n.Web)
		began := time.Now()
		if err := n.signal(syscall.SIGTERM); err != nil {
			return err
		}
		var r report
		if err := n.Hear(&r); err != nil {
			return fmt.Errorf("%s, at its end: %w", n.Name, err)
		}
		n.alive = false
		if err := n.End(); err != nil || r.Err != "" {
			return fmt.Errorf("%s ended: %v %s", n.Name, err, r.Err)
		}
		note(r)
		rs, err := until(n.Name+" has left", others, func(rs []report) error {
			for i, r := range rs {
				want := append(known[i].Diary.of(n.Name), "left")
				if got := r.Diary.of(n.Name); !slices.Equal(got, want) {
					return fmt.Errorf("%s was told %v", r.Self.Name, got)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		st.times.add("SIGTERM: until its clients have been sent away (drain)", r.Diary.DrainedAt.Sub(began))
		st.times.add("leave: after the drain", last(rs, n.Name, false).Sub(r.Diary.DrainedAt))
		if err := js.talking(); err != nil { // on two
			return err
		}
		now, err := js.ask("look")
		if err != nil {
			return err
		}
		if err := st.spread(was, now); err != nil {
			return fmt.Errorf("the clients of %s: %w", n.Name, err)
		}
		if b.refusals(n.Web) == refused {
			return fmt.Errorf("%s drained, and its health endpoint has not said so", n.Name)
		}
		if err := n.rise(); err != nil {
			return err
		}
		if rs, err = until(n.Name+" is back", others, func(rs []report) error {
			for i, r := range rs {
				want := append(known[i].Diary.of(n.Name), "left", "up")
				if got := r.Diary.of(n.Name); !slices.Equal(got, want) {
					return fmt.Errorf("%s was told %v", r.Self.Name, got)
				}
			}
			return nil
		}); err != nil {
			return err
		}
		if r, err = n.look(); err != nil {
			return err
		}
		st.times.add("a node that left is started again", last(rs, n.Name, true).Sub(r.Began))
		if err := b.uses(len(st.nodes)); err != nil {
			return err
		}
		if err := js.talking(); err != nil {
			return err
		}
	}
	guests, err := js.ask("hush")
	if err != nil {
		return err
	}
	rs, err := all(st.nodes)
	if err != nil {
		return err
	}
	for _, r := range rs {
		note(r)
		if len(r.Diary.Lost) > 0 {
			return fmt.Errorf("%s was told of %d lost channels, though all were closed", r.Self.Name, len(r.Diary.Lost))
		}
	}
	return st.count(guests, handled)
}

// spread says whether the clients that were sent away kept their slots: the i-th of n
// comes back after i/n of the window at the soonest, so that they never come all at once.
func (st *stage) spread(before, after []jsGuest) error {
	var waits []float64
	for i, g := range after {
		waits = append(waits, g.Waits[len(before[i].Waits):]...)
	}
	slices.Sort(waits)
	if len(waits) < jsGuests/len(st.nodes)/2 {
		return fmt.Errorf("%d were said goodbye to", len(waits))
	}
	for i, wait := range waits {
		if soonest := ms(drainWindow) * float64(i) / float64(len(waits)); wait < soonest-5 { // of whole ms, and those of timers
			return fmt.Errorf("one came back after %.0f ms, want %.0f or more: %.0f", wait, soonest, waits)
		}
	}
	st.note("%d came back within %.0f to %.0f ms", len(waits), waits[0], waits[len(waits)-1])
	return nil
}

// count compares what the clients know with what the nodes did.
func (st *stage) count(guests []jsGuest, handled map[string][]int) error {
	var said, unknown, done, sessions, twice int
	codes := map[string]int{}
	for _, g := range guests {
		did := map[int]int{}
		for _, n := range handled[g.UID] {
			if did[n]++; did[n] > 1 {
				return fmt.Errorf("number %d of %s was handled %d times", n, g.UID, did[n])
			}
		}
		for _, n := range g.Kept {
			if did[n] != 1 {
				return fmt.Errorf("number %d of %s was acknowledged, and not handled", n, g.UID)
			}
		}
		if len(g.Kept)+len(g.Unknown) != g.Said {
			return fmt.Errorf("%s said %d: %d have an outcome", g.UID, g.Said, len(g.Kept)+len(g.Unknown))
		}
		if g.Wrong > 0 {
			return fmt.Errorf("%s heard %d twice or too late", g.UID, g.Wrong)
		}
		if g.Sessions == 0 {
			return fmt.Errorf("%s never changed its node", g.UID)
		}
		for _, n := range g.Unknown {
			done += did[n]
		}
		for _, c := range g.Codes {
			codes[c]++
		}
		said, unknown, sessions, twice = said+g.Said, unknown+len(g.Unknown), sessions+g.Sessions, twice+g.Twice
	}
	st.note("%d clients said %d, were not told the outcome of %d %v, of which %d were handled; %d new sessions; %d heard again in a new one", len(guests), said, unknown, codes, done, sessions, twice)
	return nil
}
