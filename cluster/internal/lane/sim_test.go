package lane

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	seeds   = flag.Int("lane.seeds", 3000, "how many worlds TestAnyPipe looks at")
	oneSeed = flag.Uint64("lane.seed", 0, "the only one it looks at")
)

// live lets records go in over a changing pipe.
func (w *world) live() {
	for range 2 + w.rng.IntN(8) {
		w.shake()
		until := w.now + time.Duration(w.rng.Int64N(int64(10*time.Second)))
		for range w.rng.IntN(100) {
			w.after(time.Duration(w.rng.Int64N(int64(until-w.now+1))), func() {
				for range w.rng.IntN(10) {
					w.append(w.size())
				}
			})
		}
		w.run(until)
		w.now = until
	}
}

// heal makes the pipe good, and holds that then all comes out, soon, and it is quiet.
func (w *world) heal() {
	w.pipe = pipe{delay: 5 * time.Millisecond}
	w.append(1)
	w.pump()
	began := w.now
	w.run(w.now + time.Hour)
	if len(w.events) > 0 {
		w.Fatalf("not quiet after an hour")
	}
	if w.out != len(w.in) {
		w.Fatalf("%d of %d records came out", w.out, len(w.in))
	}
	if took := w.now - began; took > time.Minute {
		w.Fatalf("it took %v", took)
	}
	if _, ok := w.s.Due(); ok || w.s.held != [classes]int{} || w.s.slab != nil {
		w.Fatalf("an idle sender is due (%v), holds %v, or a buffer", ok, w.s.held)
	}
	if _, ok := w.r.Due(); ok {
		w.Fatalf("an idle receiver is due")
	}
	if p, ok := w.s.Next(w.now + time.Hour); ok {
		w.Fatalf("an idle sender has %+v", p)
	}
	if p, ok := w.r.Ack(w.now + time.Hour); ok {
		w.Fatalf("an idle receiver has %+v", p)
	}
}

// end ends the sender, and holds what it gives back against what came out.
func (w *world) end() {
	type back struct {
		record []byte
		sent   bool
	}
	var given []back
	w.s.End(func(record []byte, sent bool) { given = append(given, back{record, sent}) })
	first := len(w.in) - len(given)
	if first < 0 || first > w.out {
		w.Fatalf("%d of %d records are given back, %d came out", len(given), len(w.in), w.out)
	}
	sent := true
	for i, g := range given {
		if !bytes.Equal(g.record, w.in[first+i]) {
			w.Fatalf("record %d given back differs from what went in", first+i)
		}
		if g.sent && !sent {
			w.Fatalf("record %d is said to be sent, and one before it not", first+i)
		}
		if sent = g.sent; !sent && first+i < w.out {
			w.Fatalf("record %d came out and is said never to have been sent", first+i)
		}
	}
	w.run(w.now + time.Hour) // what is under way still arrives
	if len(w.events) > 0 {
		w.Fatalf("not quiet after an hour")
	}
	for i, g := range given {
		if !g.sent && first+i < w.out {
			w.Fatalf("record %d came out and was said never to have been sent", first+i)
		}
		if !bytes.Equal(g.record, w.in[first+i]) {
			w.Fatalf("record %d was given back and then changed", first+i)
		}
	}
	if err := w.s.Append(Message, nil); err != ErrEnded || w.s.Room(Message) != 0 {
		w.Fatalf("after End: %v", err)
	}
}

// TestAnyPipe holds the promises of the package in worlds of all kinds.
func TestAnyPipe(t *testing.T) {
	first, n := uint64(1), uint64(*seeds)
	if testing.Short() || raced {
		n = min(n, 300)
	}
	if *oneSeed != 0 {
		first, n = *oneSeed, 1
	}
	var frames, repeats, probes, records int
	for seed := first; seed < first+n; seed++ {
		rng := rand.New(rand.NewPCG(seed, 3))
		w := newWorld(t, seed, Config{
			ID:             seed,
			QueueBytes:     256<<10 + rng.IntN(1<<20),
			ControlBytes:   256 << 10,
			WindowBytes:    FirstCredit + rng.IntN(1<<20)*rng.IntN(2),
			MaxRecordBytes: MaxFrame + rng.IntN(600_000),
		})
		w.live()
		if rng.IntN(3) == 0 {
			w.end()
		} else {
			w.heal()
		}
		frames, repeats, probes, records = frames+w.frames, repeats+w.repeats, probes+w.probes, records+w.out
	}
	t.Logf("%d worlds: %d records in %d frames, %d repeated, %d probes", n, records, frames, repeats, probes)
}
