package mailbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// mark is a message of the model, or one that was lost in its place.
type mark struct {
	n    int
	lost bool
	by   int64
}

// What is lost is told of where it was, whatever the outbox loses, and why: random posts
// and takes against a plain list.
func TestGapsAreInTheirPlace(t *testing.T) {
	for seed := range uint64(500) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			gapsInTheirPlace(t, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

// teller is an owner that notes what it is told of, in order.
type teller struct {
	fake
	heard []mark
}

func (o *teller) Settled(Item, Outcome) {}

// Lost is what actors makes of it.
func (o *teller) Lost(it Item, out Outcome) bool {
	return out == Dropped && !it.Replaced() || out == Rejected && it.Extra || out == Failed
}

func gapsInTheirPlace(t *testing.T, dice *rand.Rand) {
	o := new(teller)
	o.manual = true
	messages := 1 + dice.IntN(12)
	o.Init(&Config{Messages: messages, Bytes: 40 * messages}, o)
	var list []mark // what waits, and what was lost, in order
	waits := func() (n int) {
		for _, m := range list {
			if !m.lost {
				n++
			}
		}
		return n
	}
	n, now := 0, int64(0)
	take := func() {
		it, ok := o.Take()
		switch {
		case !ok && len(list) > 0:
			t.Fatalf("nothing to take of %v", list)
		case !ok:
		case it.Gap() > 0:
			o.heard = append(o.heard, mark{n: it.Gap(), lost: true})
		default:
			o.heard = append(o.heard, mark{n: it.Message.(int)})
			o.Settle(1, it.Size)
		}
		o.check(t, &list)
	}
	for range 400 {
		switch dice.IntN(6) {
		case 0:
			take()
		case 1:
			now += int64(dice.IntN(5))
			o.Overdue(now)
			for i, m := range list {
				if !m.lost && m.by != 0 && m.by <= now {
					list[i].lost = true
				}
			}
		default:
			n++
			it := Item{Message: n, Size: dice.IntN(2) * dice.IntN(80), Extra: dice.IntN(2) == 0}
			if dice.IntN(4) == 0 {
				it.By = now + 1 + int64(dice.IntN(20))
			}
			p := []Policy{DropOldest, DropNewest, Reject}[dice.IntN(3)]
			before := o.out.messages()
			err := o.Post(it, p)
			if p == DropOldest && err == nil || p == DropOldest && o.out.messages() < before { // as many of the oldest as it took
				gone := int(before - o.out.messages())
				if err == nil {
					gone++
				}
				for i := 0; gone > 0; i++ {
					if !list[i].lost {
						list[i].lost = true
						gone--
					}
				}
			}
			switch {
			case err == nil:
				list = append(list, mark{n: n, by: it.By})
			case err == ErrDropped || it.Extra:
				list = append(list, mark{n: n, lost: true})
			}
		}
		items, gaps := 0, 0
		for i := range o.out.len() {
			if it := &o.out.items[(int(o.out.head)+i)&(len(o.out.items)-1)]; it.Gap() > 0 {
				gaps++
			} else {
				items++
			}
		}
		if int(o.out.messages()) != items || items != waits() || gaps > items+1 {
			t.Fatalf("%d messages and %d gaps wait, counted as %d, want %d", items, gaps, o.out.messages(), waits())
		}
	}
	for o.out.len() > 0 {
		take()
	}
	if o.check(t, &list); len(list) > 0 {
		t.Fatalf("not told: %v", list)
	}
	if m, bytes := o.Waiting(); m != 0 || bytes != 0 {
		t.Fatalf("%d messages, %d bytes are left", m, bytes)
	}
}

// check compares what was heard with the head of the list, and forgets both.
func (o *teller) check(t *testing.T, list *[]mark) {
	t.Helper()
	for _, got := range o.heard {
		if !got.lost {
			i := slices.IndexFunc(*list, func(m mark) bool { return !m.lost })
			if i != 0 || (*list)[0].n != got.n {
				t.Fatalf("took %d, at the head of %v", got.n, *list)
			}
			*list = (*list)[1:]
			continue
		}
		for range got.n {
			if len(*list) == 0 || !(*list)[0].lost {
				t.Fatalf("a gap of %d, at the head of %v", got.n, *list)
			}
			*list = (*list)[1:]
		}
	}
	o.heard = nil
}

// Of a sealed outbox nothing is told, and what waited for it goes with it.
func TestAGapEndsWithItsOutbox(t *testing.T) {
	o := new(teller)
	o.Init(&Config{Messages: 1, Bytes: 100}, o)
	_ = o.Post(Item{Message: 1}, DropNewest)
	_ = o.Post(Item{Message: 2}, DropNewest)
	o.Empty()
	_ = o.Post(Item{Message: 3, Size: 101, Extra: true}, Reject)
	if o.Outbox() != 0 {
		t.Errorf("%d items", o.Outbox())
	}
}

// What has no gaps costs no place for them.
func TestNoGapsForWhoTellsOfNone(t *testing.T) {
	f := new(fake)
	f.Init(&Config{Messages: 1}, f)
	for range 3 {
		_ = f.Post(Item{Message: 1}, DropNewest)
	}
	if f.Outbox() != 1 {
		t.Errorf("%d items", f.Outbox())
	}
	f.Empty()
}
