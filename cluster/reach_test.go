package cluster

import (
	"testing"
	"time"

	"github.com/troupe-actors/troupe/cluster/internal/plane"
	"github.com/troupe-actors/troupe/cluster/membership"
)

// reaching is a reach of three members, on a clock of its own.
type reaching struct {
	*testing.T
	reach
	now time.Time
}

var carl = membership.Member{Name: "c", Addr: "c:1", Process: "pc", Epoch: 1}

func newReaching(t *testing.T) *reaching {
	r := &reaching{T: t, reach: reach{limit: pipeLimit}, now: time.Unix(1, 0)}
	r.list(r.now, []membership.Member{{Name: "a", Addr: "a:1", Process: "pa"}, {Name: "b", Addr: "b:1", Process: "pb"}, carl})
	return r
}

func (r *reaching) sees(want int) {
	r.Helper()
	if got := r.alive(); len(got) != want {
		r.Fatal("sees", got, "want", want)
	}
}

var c = plane.Node{Name: "c", Addr: "c:1", Epoch: 1}

// returns is how long after it was put out a node is back whose pings are answered at once.
func (r *reaching) returns() time.Duration {
	for begun := r.now; ; r.now = r.now.Add(100 * time.Millisecond) {
		for _, p := range r.due(r.now) {
			if r.answered(r.now, p.to, p.number) {
				return r.now.Sub(begun)
			}
		}
	}
}

func TestReachGrowsSlowerToTrust(t *testing.T) {
	r := newReaching(t)
	var took []time.Duration
	for range 8 {
		if !r.lose(r.now, c) || r.lose(r.now, c) {
			t.Fatal("it is put out once")
		}
		r.sees(2)
		took = append(took, r.returns())
		r.sees(3)
		r.now = r.now.Add(13 * time.Second)
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		if took[i] != want*time.Second {
			t.Fatal("out for", took)
		}
	}
	r.now = r.now.Add(6 * time.Minute) // all is well
	r.due(r.now)
	r.lose(r.now, c)
	if got := r.returns(); got != time.Second {
		t.Error("out for", got, "after all was forgotten")
	}
}

// Who does not answer is asked less and less, but does not have to wait.
func TestReachAsksSeldom(t *testing.T) {
	r := newReaching(t)
	r.lose(r.now, c)
	pings := 0
	for range 600 {
		r.now = r.now.Add(100 * time.Millisecond)
		pings += len(r.due(r.now))
	}
	if pings < 10 || pings > 20 {
		t.Error(pings, "pings in a minute")
	}
	for len(r.due(r.now)) > 0 {
		r.now = r.now.Add(time.Millisecond)
	}
	if !r.pinged(r.now, c) || len(r.due(r.now)) != 1 {
		t.Error("who asks is not asked")
	}
}

func TestReachAnswersWhomItWouldTakeBack(t *testing.T) {
	r := newReaching(t)
	if !r.pinged(r.now, c) {
		t.Error("who is reached has no answer")
	}
	for _, n := range []plane.Node{{Name: "c", Addr: "c:2"}, {Name: "d", Addr: "c:1"}} {
		if r.pinged(r.now, n) || r.lose(r.now, n) || r.answered(r.now, n, 0) {
			t.Error(n, "is no member")
		}
	}
	r.lose(r.now, c)
	if r.pinged(r.now, c) {
		t.Error("who was put out just now has an answer")
	}
	if r.answered(r.now, c, 0) || r.answered(r.now, c, 1) {
		t.Error("an answer to nothing counts")
	}
	r.now = r.now.Add(time.Second)
	if !r.pinged(r.now, c) {
		t.Error("who would be taken back has no answer")
	}
}

func TestReachIsOfOneProcess(t *testing.T) {
	r := newReaching(t)
	r.lose(r.now, c)
	life := carl
	life.Epoch++
	r.list(r.now, []membership.Member{life})
	r.sees(0)
	life.Process = "another"
	r.list(r.now, []membership.Member{life})
	r.sees(1)
	r.list(r.now, []membership.Member{carl})
	r.sees(1) // it was away
}

// Whom membership drops and lists again is not trusted for that.
func TestReachIsNotForgottenByMembership(t *testing.T) {
	r := newReaching(t)
	all := r.listed
	drop := func(after time.Duration) {
		r.list(r.now, all[:2])
		for end := r.now.Add(after); r.now.Before(end); r.now = r.now.Add(time.Second) {
			if len(r.due(r.now)) > 0 {
				t.Fatal("who is no member is asked")
			}
		}
		r.list(r.now, all)
	}
	for _, want := range []time.Duration{1, 2, 4} {
		r.lose(r.now, c)
		drop(0)
		r.sees(2)
		if got := r.returns(); got != want*time.Second {
			t.Error("out for", got, "want", want)
		}
		drop(10 * time.Second) // it is reached
		r.sees(3)
	}
	r.lose(r.now, c)
	drop(time.Minute)
	r.sees(2)
	if got := r.returns(); got != 0 {
		t.Error("who is back is asked after", got)
	}
	r.lose(r.now, c)
	drop(6 * time.Minute)
	r.sees(3)
	r.lose(r.now, c)
	if got := r.returns(); got != time.Second {
		t.Error("out for", got, "after all was forgotten")
	}
}

// What this process has slept is nobody's silence.
func TestReachDoesNotCountSleep(t *testing.T) {
	r := newReaching(t)
	r.looked = r.now
	for _, c := range []struct {
		after, counts time.Duration
		ok            bool
	}{{500 * time.Millisecond, 0, false}, {time.Second, time.Second, true}, {time.Hour, 2 * time.Second, true}, {0, 0, false}} {
		if got, ok := r.passed(r.looked.Add(c.after)); got != c.counts || ok != c.ok {
			t.Error(c.after, "counts", got, ok)
		}
	}
}
