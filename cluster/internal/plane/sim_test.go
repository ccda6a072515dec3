package plane

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestSimulation runs clusters of three to seven nodes, each in its own random
// way, and holds what they believe against the truth once all is quiet.
//
//	TROUPE_SEED=n   replays one world
//	TROUPE_STEPS=n  goes on until so many things were done
//	TROUPE_FROM=n   begins with another world than the first
func TestSimulation(t *testing.T) {
	if seed := fromEnv(t, "TROUPE_SEED", 0); seed != 0 {
		tryWorld(t, seed, true)
		return
	}
	want := fromEnv(t, "TROUPE_STEPS", 100_000)
	first := fromEnv(t, "TROUPE_FROM", 1) // the same worlds each time, so that whoever breaks one knows it
	if testing.Short() {
		want /= 10
	}
	next, steps := first, uint64(0)
	for ; steps < want && !t.Failed(); next++ {
		steps += tryWorld(t, next, false)
	}
	t.Logf("%d steps, seeds %d to %d", steps, first, next-1)
}

func fromEnv(t *testing.T, name string, otherwise uint64) uint64 {
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// world is a cluster, its network and the truth about it.
type world struct {
	t     *testing.T
	seed  uint64
	trace bool
	rng   *rand.Rand
	now   time.Time
	kind  kindOfWorld
	steps uint64

	places    []*place
	wires     map[[2]Node]*wire
	datagrams []datagram
	cut       map[[2]int]bool // between places
	channels  map[ID]*truth
	order     []ID
	names     int
	quiet     bool
}

// kindOfWorld is what may happen in it.
type kindOfWorld struct {
	name  string
	loses bool // nodes are lost
	errs  bool // nodes that live are given up
}

var kindsOfWorld = []kindOfWorld{
	{"calm", false, false},
	{"nodes die", true, false},
	{"nodes are given up", false, true},
	{"all", true, true},
}

// place is where one process after the other runs, under one name and address.
type place struct {
	w      *world
	i      int
	proc   string
	st     *State
	alive  bool
	paused bool
	leaves bool
	born   int
	grace  time.Duration

	view     map[int]Seen // what its provider reports
	ups      map[string]Seen
	downs    map[Node]time.Time
	forgiven map[Node]bool   // it is in a new life since their Down
	has      map[Change]bool // Here is true
	online   map[Change]bool
	lost     []Lost // OnLost is being called
	lives    int    // how often it has had NewLife
}

type wire struct {
	from, to Node
	records  []Record
	blocked  bool
	dead     bool // its sender is gone: what is in it may still arrive
}

type datagram struct {
	from, to int
	by       Node
	over     Over
}

// truth is what is so of a channel.
type truth struct {
	process    string
	open, lost bool // lost: the process died, and it was open or its Close on its way
	calls      []*place
	procs      []string
	hasty      []bool // the caller had not met an elder
	returned   bool
	informed   []string // processes that were sent word that its loss was told
	settled    bool     // and have it
	knew       []knower
}

type knower struct {
	p     *place
	proc  string
	lives int
}

func (w *world) logf(format string, args ...any) {
	if w.trace {
		fmt.Printf("%s "+format+"\n", append([]any{w.now.Format("04:05.000")}, args...)...)
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("TROUPE_SEED=%d (%s): %s", w.seed, w.kind.name, fmt.Sprintf(format, args...))
}

func tryWorld(t *testing.T, seed uint64, trace bool) uint64 {
	rng := rand.New(rand.NewPCG(seed, 7))
	w := &world{
		t: t, seed: seed, trace: trace, rng: rng, now: time.Unix(1_000_000, 0),
		kind:  kindsOfWorld[rng.IntN(len(kindsOfWorld))],
		wires: map[[2]Node]*wire{}, cut: map[[2]int]bool{}, channels: map[ID]*truth{},
	}
	w.names = 1 + rng.IntN(12)
	for i := range 3 + rng.IntN(5) {
		p := &place{w: w, i: i, view: map[int]Seen{}}
		w.places = append(w.places, p)
		if rng.IntN(4) > 0 {
			p.start()
		}
	}
	for range 1 + rng.IntN(3) {
		for range 50 + rng.IntN(300) {
			w.step()
		}
		w.settle()
		w.check()
		w.heal()
	}
	w.settle()
	w.check()
	w.end()
	return w.steps
}

func (p *place) name() string { return "node-" + strconv.Itoa(p.i) }

// start starts a process. Sometimes the clock has gone back since the last.
func (p *place) start() {
	p.born++
	epoch := uint64(p.born) * 1000 << counterBits
	if p.w.rng.IntN(8) == 0 && p.born > 1 && p.w.kind.name != "calm" {
		epoch -= 1500 << counterBits
	}
	p.proc = fmt.Sprintf("%s.%d", p.name(), p.born)
	p.grace = time.Duration(p.w.rng.IntN(3)) * 5 * time.Second
	st, err := New(Config{
		Self: Node{p.name(), p.name() + ":1", epoch}, Process: p.proc, Kinds: 2, Watched: []Kind{1}, Others: []Kind{0},
		Grace: p.grace,
	})
	if err != nil {
		p.w.t.Fatal(err)
	}
	st.entries.most, st.channels.log.most = 1+p.w.rng.IntN(20), 1+p.w.rng.IntN(20)
	st.lostAtOnce = 1 + p.w.rng.IntN(3)
	st.laneBytes = 1 + p.w.rng.IntN(400)
	p.st, p.alive, p.paused, p.leaves = st, true, false, false
	p.lost, p.lives = nil, 0
	p.ups, p.downs, p.has, p.online = map[string]Seen{}, map[Node]time.Time{}, map[Change]bool{}, map[Change]bool{}
	p.view, p.forgiven = map[int]Seen{}, map[Node]bool{}
	p.w.logf("%s starts as %v", p.proc, st.Self())
	p.st.Tick(p.w.now)
}

func (p *place) seen() Seen { return Seen{Node: p.st.Self(), Process: p.proc, Draining: p.leaves} }

func (p *place) running() bool { return p.alive && !p.paused }

// over tells whether p had a Down of a life.
func (p *place) over(n Node) bool { return !p.downs[n].IsZero() }

// met tells whether p has, or had, a life up.
func (p *place) met(n Node) bool { return p.ups[n.Name].Node == n || p.over(n) }

// reaches tells whether a packet from p arrives at q.
func (w *world) reaches(p, q *place) bool {
	return !w.cut[[2]int{min(p.i, q.i), max(p.i, q.i)}]
}

func (w *world) placeOf(n Node) *place {
	for _, p := range w.places {
		if p.name() == n.Name {
			return p
		}
	}
	return nil
}

// act does what a state wants done.
func (p *place) act() {
	for n := 0; ; n++ {
		for _, e := range p.st.Take() {
			p.do(e)
		}
		at, ok := p.st.Due()
		if !ok || !at.IsZero() || p.w.rng.IntN(3) == 0 && !p.w.quiet {
			return
		}
		if n > 100_000 {
			p.w.fail("%s is never done", p.proc)
		}
		p.st.Tick(p.w.now)
	}
}

func (p *place) do(e Effect) {
	w := p.w
	if _, ok := e.(Send); !ok {
		w.logf("%s: %T %v", p.proc, e, e)
	}
	switch e := e.(type) {
	case Send:
		w.send(p, e)
	case Over:
		if w.quiet || w.rng.IntN(3) > 0 {
			d := datagram{p.i, w.placeOf(e.To).i, p.st.Self(), e}
			w.datagrams = append(w.datagrams, d)
			if w.rng.IntN(4) == 0 {
				w.datagrams = append(w.datagrams, d)
			}
		}
	case Up:
		if _, up := p.ups[e.Name]; up || p.over(e.Node) && !p.forgiven[e.Node] {
			w.fail("%s: Up of %v, which was up", p.proc, e.Node)
		}
		delete(p.downs, e.Node)
		delete(p.forgiven, e.Node)
		p.ups[e.Name] = e.Seen
		w.unexpect(p, e.Process)
	case Down:
		m, up := p.ups[e.Name]
		if !up || m.Node != e.Node {
			w.fail("%s: Down of %v, which is not up", p.proc, e.Node)
		}
		delete(p.ups, e.Name)
		p.downs[e.Node] = w.now
		w.discard(p, m)
		w.expect(p, m)
	case NewLife:
		p.lives++
		for n := range p.downs {
			p.forgiven[n] = true
		}
		if w.kind.name == "calm" {
			w.fail("%s: NewLife", p.proc)
		}
		for key := range w.wires {
			if key[0].Name == p.name() {
				delete(w.wires, key)
			}
		}
		for _, q := range p.ups {
			p.st.Unblocked(q.Node)
		}
	case Lost:
		w.lose(p, e)
		p.lost = append(p.lost, e)
	case Returned:
		for _, id := range e.IDs {
			c := w.channels[id]
			if c.process != p.proc || c.returned || !c.open {
				w.fail("%s: Returned of %x", p.proc, id[:2])
			}
			c.returned = true
		}
	case Online:
		c := Change{e.Kind, e.Name, true}
		if p.online[c] == e.On {
			w.fail("%s: %v twice", p.proc, e)
		}
		p.online[c] = e.On
	case Elsewhere:
		c := Change{e.Kind, e.Name, true}
		if e.Kind != 0 || e.On && e.Lost || p.online[c] == e.On {
			w.fail("%s: %v twice", p.proc, e)
		}
		p.online[c] = e.On
	}
}

// send puts a record into a wire, which may be full then.
func (w *world) send(p *place, e Send) {
	if m, up := p.ups[e.To.Name]; !up || m.Node != e.To {
		w.fail("%s: Send to %v, which is not up", p.proc, e.To)
	}
	key := [2]Node{p.st.Self(), e.To}
	x := w.wires[key]
	if x == nil {
		x = &wire{from: key[0], to: key[1]}
		w.wires[key] = x
	}
	if x.blocked && len(x.records) == 0 {
		w.fail("%s: an empty lane is blocked", p.proc)
	}
	x.records = append(x.records, e.Record)
	if len(x.records) > 4 && !x.blocked {
		x.blocked = true
		p.st.Blocked(e.To)
	}
}

// deliver takes the first record of a wire to where it goes, if it can.
func (w *world) deliver(x *wire) bool {
	from, to := w.placeOf(x.from), w.placeOf(x.to)
	if !to.running() || !x.dead && !from.running() || !w.reaches(from, to) || to.st.Self() != x.to {
		return false
	}
	if m, up := to.ups[x.from.Name]; !up || m.Node != x.from {
		to.st.Stray(w.now, x.from)
		to.act()
		if x.dead {
			x.records = nil
		}
		return false
	}
	r := x.records[0]
	x.records = x.records[1:]
	w.logf("%v -> %v: %T %v", x.from, x.to, r, r)
	to.st.Receive(w.now, x.from, r)
	to.act()
	if x.blocked && len(x.records) < 2 && !x.dead && w.wires[[2]Node{x.from, x.to}] == x {
		x.blocked = false
		from.st.Unblocked(x.to)
		from.act()
	}
	return true
}

// sorted are the wires with something in them, in an order that is always the same.
func (w *world) sorted() []*wire {
	xs := slices.Collect(maps.Values(w.wires))
	xs = slices.DeleteFunc(xs, func(x *wire) bool { return len(x.records) == 0 })
	slices.SortFunc(xs, func(a, b *wire) int {
		return cmpString(fmt.Sprint(a.from, a.to), fmt.Sprint(b.from, b.to))
	})
	return xs
}

func cmpString(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}
