package plane

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestRecordsInAnyOrder: a peer that is broken does no harm but to its own rows.
func TestRecordsInAnyOrder(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		st := newState(t, "self")
		nodes := meet(st, "a", "b", "c")
		for range 60 {
			id := ID{byte(rng.IntN(4))}
			process := []string{"a", "b", "c", "self", ""}[rng.IntN(5)]
			of := nodes[rng.IntN(3)]
			records := []Record{
				Begin{}, End{}, Entries{[]Change{{Kind(rng.IntN(9)), "x", rng.IntN(2) == 0}}},
				Keepers{nodes}, Keepers{[]Node{of, st.Self()}}, KeepBegin{}, KeepEnd{rng.Uint64N(9)}, Release{},
				Channels{[]Channel{{ID: id, Seq: rng.Uint64N(9)}}, []ID{{1}}, rng.Uint64N(9)},
				Kept{}, Released{}, Told{[]ID{id}}, Waiting{process, of}, Progress{process, []ID{id}},
				Done{process, of, rng.Uint64N(9)}, nil,
			}
			if rng.IntN(30) == 0 {
				meet(st, []string{"a", "b", "c"}[rng.IntN(3)])
			}
			st.Receive(start, nodes[rng.IntN(3)], records[rng.IntN(len(records))])
			for _, e := range st.Take() {
				if l, ok := e.(Lost); ok && rng.IntN(2) == 0 {
					st.Told(start, l)
				}
			}
		}
	}
}

// TestAnElderThatComesUpLate: a keeper whose elder it did not see when the node was
// lost asks it once it does, and is not left waiting for it.
func TestAnElderThatComesUpLate(t *testing.T) {
	st := newState(t, "self")
	node := Seen{Node: Node{"a", "a:1", 5}, Process: "a"}
	elder := Seen{Node: Node{"b", "b:1", 5}, Process: "b"}
	st.Members(start, []Seen{node})
	for _, r := range []Record{Keepers{[]Node{elder.Node, st.Self()}}, KeepBegin{}, KeepEnd{1}} {
		st.Receive(start, node.Node, r)
	}
	st.Take()
	st.Members(start, []Seen{elder})
	asked := false
	for _, e := range st.Take() {
		if s, ok := e.(Send); ok && s.To == elder.Node && s.Record == (Waiting{"a", node.Node}) {
			asked = true
		}
	}
	if !asked {
		t.Fatal("the elder is not asked")
	}
	st.Receive(start, elder.Node, Done{"a", node.Node, 0})
	if st.Take(); len(st.keeps) != 0 {
		t.Error("what was lost is kept for ever")
	}
}

// TestTwin: of two processes with one name the elder is told, and stays what it is. It
// would take one life after the other, as nobody believes them; when it is alone again,
// it takes one.
func TestTwin(t *testing.T) {
	st := newState(t, "self")
	self := st.Self()
	twin := Seen{Node: Node{"self", "self:2", self.Epoch + 9}, Process: "another"}
	st.Members(start, []Seen{twin})
	if got := st.Take(); len(got) != 1 || got[0] != Effect(Twin{twin}) {
		t.Fatal(got)
	}
	judge := Node{"a", "a:1", 5}
	st.Over(start, judge, 1, self, self.Epoch)
	if st.Self() != self {
		t.Fatal("it has the life", st.Self(), "beside its twin")
	}
	st.Members(start, nil)
	st.Over(start, judge, 1, self, twin.Epoch)
	if st.Self().Epoch <= twin.Epoch {
		t.Fatal("it is dead with its twin")
	}
}

// TestZombieIsToldEverLessOften: for as long as it is a member, since who is told nothing
// never returns, and not for ever.
func TestZombieIsToldEverLessOften(t *testing.T) {
	st := newState(t, "self")
	now := start
	seen := []Seen{{Node: Node{"a", "a:1", 5}, Process: "a"}}
	st.Members(now, seen)
	st.Members(now, nil)
	st.Take()
	overs := func() (n int) {
		for _, e := range st.Take() {
			if _, ok := e.(Over); ok {
				n++
			}
		}
		return n
	}
	st.Members(now, seen)
	if overs() != 1 {
		t.Fatal("it is not told at once")
	}
	tell := func(until time.Time) (told int) {
		for {
			at, ok := st.Due()
			if !ok || at.After(until) {
				return told
			}
			if wait := at.Sub(now); wait > zombieMaxWait {
				t.Fatalf("nothing for %v", wait)
			}
			now = at
			st.Tick(now)
			told += overs()
		}
	}
	if told := tell(start.Add(time.Minute)); told < 4 || told > 8 {
		t.Errorf("told %d times in the first minute", told)
	}
	if told := tell(start.Add(time.Hour)); told < 100 || told > 120 {
		t.Errorf("told %d times in an hour", told)
	}
	st.Members(now, nil)
	if told := tell(now.Add(time.Hour)); told > 0 || len(st.zombies) > 0 {
		t.Errorf("told %d times when it is no member", told)
	}
}

// TestBlockedLaneIsBounded: what a slow peer misses is a snapshot in the end.
func TestBlockedLaneIsBounded(t *testing.T) {
	st := newState(t, "self")
	a := meet(st, "a")[0]
	drain := func() (records int, begun bool) {
		for {
			for _, e := range st.Take() {
				if s, ok := e.(Send); ok {
					records++
					begun = begun || isBegin(s.Record)
				}
			}
			if at, due := st.Due(); !due || !at.IsZero() {
				return records, begun
			}
		}
	}
	drain()
	st.Blocked(a)
	for i := range 5 * maxLog {
		st.Set(start, 0, "x", i%2 == 0)
		st.Open(Channel{ID: ID{1}})
		st.Close(ID{1})
		if records, _ := drain(); records > 0 {
			t.Fatal("a record for a lane that is full")
		}
	}
	if n := len(st.entries.changes) + len(st.channels.log.changes); n > 4*maxLog {
		t.Fatalf("%d changes wait", n)
	}
	st.Unblocked(a)
	if records, begun := drain(); !begun || records > 10 {
		t.Fatalf("%d records, snapshot: %v", records, begun)
	}
}

func isBegin(r Record) bool {
	_, ok := r.(Begin)
	return ok
}

// TestTwoSides: when two have given up each other, that with fewer peers takes a new life
// and knows the other again as it was; of one that did not give up its judge only that it sees no more than it.
func TestTwoSides(t *testing.T) {
	of := func(name string) Seen { return Seen{Node: Node{name, name + ":1", 5}, Process: name} }
	a, b, c := of("a"), of("b"), of("c")
	lives := func(st *State) (n int, up []string) {
		for _, e := range st.Take() {
			switch e := e.(type) {
			case NewLife:
				n++
			case Up:
				up = append(up, e.Name)
			}
		}
		return n, up
	}
	begin := func(of Seen, others ...Seen) *State {
		st, err := New(Config{Self: of.Node, Process: of.Process, Kinds: 1})
		if err != nil {
			t.Fatal(err)
		}
		st.Members(start, others)
		return st
	}
	large, small := begin(a, b, c), begin(c, a, b)
	large.Members(start, []Seen{b})
	small.Members(start, nil)
	large.Take()
	small.Take()
	large.Over(start, c.Node, 0, a.Node, 5)
	if n, _ := lives(large); n != 0 {
		t.Error("the larger side takes a new life")
	}
	small.Members(start, []Seen{a, b})
	if _, up := lives(small); len(up) > 0 {
		t.Error("who was given up is believed:", up)
	}
	small.Over(start, a.Node, 1, c.Node, 5)
	if n, up := lives(small); n != 1 || len(up) != 2 || small.Self().Epoch != 6 {
		t.Error("the smaller side:", n, up, small.Self())
	}
	// Of equal ones it is one.
	one, other := begin(a, b), begin(b, a)
	one.Members(start, nil)
	other.Members(start, nil)
	one.Over(start, b.Node, 0, a.Node, 5)
	other.Over(start, a.Node, 0, b.Node, 5)
	if one.Self().Epoch+other.Self().Epoch != 11 {
		t.Error(one.Self(), other.Self())
	}
	// Who sees its judge takes a new life, unless the judge sees fewer: then that does.
	for others, want := range []int{0, 1, 1} {
		judged := begin(a, b, c)
		judged.Take()
		judged.Over(start, c.Node, others, a.Node, 5)
		lives, answered := 0, false
		for _, e := range judged.Take() {
			switch e := e.(type) {
			case NewLife:
				lives++
			case Over:
				answered = e == Over{c.Node, 5, 1}
			case Down:
				t.Error("it gives up the judge")
			}
		}
		if lives != want || answered == (lives > 0) {
			t.Error("given up by one that sees", others, "it takes", lives, "lives, and says so:", answered)
		}
	}
	alone := begin(c, a, b)
	alone.Members(start, nil)
	alone.Take()
	alone.Over(start, a.Node, 1, c.Node, 5)
	if n, _ := lives(alone); n != 1 {
		t.Error("the judge that sees fewer goes on as it was")
	}
}
