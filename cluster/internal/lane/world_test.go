package lane

import (
	"bytes"
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"
)

// blob is where the records of all worlds are cut from.
var blob = func() []byte {
	b := make([]byte, 1<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}()

// A world is a lane with a pipe under it and an application at each end, on a clock
// of its own.
type world struct {
	*testing.T
	rng    *rand.Rand
	now    time.Duration
	events events
	order  int

	cfg  Config
	s    *Sender
	r    *Receiver
	in   [][]byte      // what was committed
	out  int           // how much of it came out
	busy time.Duration // what has come is handled then

	pipe  pipe
	last  [2]time.Duration // when the last packet of each direction arrives
	woken [2]time.Duration // when each end is woken next

	frames, repeats, probes, acks int
	high                          uint64
	seed                          uint64
}

// A pipe is how bad it is. Chances are of 1.
type pipe struct {
	lose, double, reorder float64
	delay, jitter         time.Duration
	cut                   bool          // nothing comes through
	hung                  time.Duration // until then nothing comes, but is not lost
	slow                  time.Duration // the receiver takes up to this long with a frame
	held                  int           // the pipe does not take more than this many at a time
}

type event struct {
	at    time.Duration
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func newWorld(t *testing.T, seed uint64, cfg Config) *world {
	t.Helper()
	s, err := NewSender(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReceiver(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg, _ = cfg.checked()
	return &world{T: t, rng: rand.New(rand.NewPCG(seed, 7)), seed: seed, cfg: cfg, s: s, r: r, woken: [2]time.Duration{-1, -1}}
}

// Fatalf says which world it was.
func (w *world) Fatalf(format string, args ...any) {
	w.Helper()
	w.T.Fatalf("-lane.seed=%d, at %v: "+format, append([]any{w.seed, w.now}, args...)...)
}

func (w *world) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.events, event{w.now + d, w.order, do})
}

// run goes on until nothing is left to happen, or until the time.
func (w *world) run(until time.Duration) {
	for len(w.events) > 0 && w.events[0].at <= until {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
		w.pump()
	}
	if len(w.events) > 0 {
		w.now = until
	}
}

// pump does what a node does after anything has happened.
func (w *world) pump() {
	for n := 0; w.pipe.held == 0 || n < w.pipe.held; n++ {
		p, ok := w.s.Next(w.now)
		if !ok {
			break
		}
		switch {
		case p.Kind == KindProbe:
			w.probes++
		case p.Seq <= w.high:
			w.repeats++
		default:
			w.high = p.Seq
			w.frames++
		}
		w.send(0, func() { w.take(p) })
	}
	for {
		p, ok := w.r.Ack(w.now)
		if !ok {
			break
		}
		w.acks++
		w.send(1, func() {
			if err := w.s.Acked(w.now, p); err != nil {
				w.Fatalf("%v", err)
			}
		})
	}
	for end, due := range []func() (time.Duration, bool){w.s.Due, w.r.Due} {
		at, ok := due()
		if at = max(at, w.now); ok && (w.woken[end] < w.now || at < w.woken[end]) {
			if at == w.now { // the pipe did not take more
				at += time.Millisecond
			}
			w.woken[end] = at
			w.after(at-w.now, func() { w.woken[end] = -1 })
		}
	}
	w.bounded()
}

func (w *world) bounded() {
	for c, limit := range w.s.limits {
		if held := w.s.held[c]; held < 0 || held > max(limit, limit/2+w.cfg.MaxRecordBytes*102/100)+MaxFrame {
			w.Fatalf("%d bytes of class %d are held", held, c)
		}
	}
	if open := w.r.cost - w.r.handled; open > uint64(w.cfg.WindowBytes) {
		w.Fatalf("%d bytes are taken and not handled", open)
	}
	if w.s.acked > w.r.done {
		w.Fatalf("frame %d is acknowledged, %d were handled", w.s.acked, w.r.done)
	}
	if len(w.r.joined) > w.cfg.MaxRecordBytes {
		w.Fatalf("%d bytes are joined", len(w.r.joined))
	}
}

func (w *world) send(direction int, arrive func()) {
	p := &w.pipe
	copies := 1
	if w.rng.Float64() < p.double {
		copies = 1 + w.rng.IntN(3)
	}
	for range copies {
		if p.cut || w.rng.Float64() < p.lose {
			continue
		}
		at := max(w.now+p.delay, p.hung)
		if p.jitter > 0 {
			at += time.Duration(w.rng.Int64N(int64(p.jitter)))
		}
		if w.rng.Float64() >= p.reorder {
			at = max(at, w.last[direction])
		}
		w.last[direction] = max(at, w.last[direction])
		w.after(at-w.now, arrive)
	}
}

func (w *world) take(p Packet) {
	records, err := w.r.Take(w.now, p)
	if err != nil {
		w.Fatalf("%v", err)
	}
	for b, ok := records.Next(); ok; b, ok = records.Next() {
		if w.out == len(w.in) {
			w.Fatalf("a record of %d bytes came out that never went in", len(b))
		}
		if !bytes.Equal(b, w.in[w.out]) {
			w.Fatalf("record %d: %d bytes came out, %d went in, or they differ", w.out, len(b), len(w.in[w.out]))
		}
		w.out++
	}
	if w.pipe.slow > 0 {
		w.busy = max(w.busy, w.now+time.Duration(w.rng.Int64N(int64(w.pipe.slow))))
	}
	w.after(max(0, w.busy-w.now), func() { w.r.Handled(records) })
}

// size is that of some record.
func (w *world) size() int {
	switch n := w.rng.IntN(1000); {
	case n < 3:
		return w.rng.IntN(w.cfg.MaxRecordBytes + 1)
	case n < 30:
		return min(maxPiece-70+w.rng.IntN(140), w.cfg.MaxRecordBytes)
	case n < 200:
		return w.rng.IntN(10_000)
	}
	return w.rng.IntN(200)
}

func (w *world) append(n int) bool {
	record := blob[w.rng.IntN(len(blob)-n+1):][:n]
	c := Class(w.rng.IntN(10) / 9)
	room := w.s.Room(c)
	switch err := w.s.Append(c, record); {
	case err == nil:
		w.in = append(w.in, record)
		return true
	case err != ErrFull:
		w.Fatalf("%v", err)
	case n <= room && room > 0:
		w.Fatalf("a record of %d bytes was refused with room for %d", n, room)
	}
	return false
}

// shake makes the pipe another one.
func (w *world) shake() {
	p := pipe{delay: time.Duration(w.rng.Int64N(int64(30 * time.Millisecond))), held: w.rng.IntN(20)}
	some := func() float64 { return w.rng.Float64() * w.rng.Float64() * float64(w.rng.IntN(2)) }
	p.lose, p.double, p.reorder = some(), some(), some()
	if w.rng.IntN(2) == 0 {
		p.jitter = time.Duration(1 + w.rng.Int64N(int64(300*time.Millisecond)))
	}
	if w.rng.IntN(3) == 0 {
		p.slow = time.Duration(1 + w.rng.Int64N(int64(time.Second)))
	}
	switch w.rng.IntN(6) {
	case 0:
		p.cut = true
	case 1:
		p.hung = w.now + time.Duration(w.rng.Int64N(int64(20*time.Second)))
	}
	w.pipe = p
}
