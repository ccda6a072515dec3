package registry

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// turns is which sets have members, as Changed tells it: it only ever says that this
// is not what it was.
type turns map[string]bool

func (told turns) turn(k Kind, name string) {
	set := k.String() + " " + name
	told[set] = !told[set]
}

// Each change is told once and in order, whoever makes it: in the end what was told is
// what there is.
func TestChangedIsToldInOrder(t *testing.T) {
	var mu sync.Mutex
	told := turns{}
	r := start(t, Config{Shards: 2, Changed: func(k Kind, name string) {
		mu.Lock()
		defer mu.Unlock()
		told.turn(k, name)
	}})
	var stay []*client
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 0))
			for range 300 {
				c := added(r, fmt.Sprint("u", random.IntN(3)))
				for range random.IntN(4) {
					topic := fmt.Sprint("t", random.IntN(3))
					_, _ = r.Join(&c.Member, topic)
					if random.IntN(2) == 0 {
						r.Leave(&c.Member, topic)
					}
				}
				if random.IntN(100) == 0 {
					mu.Lock()
					stay = append(stay, c)
					mu.Unlock()
				} else {
					r.Remove(&c.Member)
				}
			}
		})
	}
	wg.Wait()
	look := func() {
		t.Helper()
		for _, k := range []Kind{OfTopic, OfUID} {
			for n := range 3 {
				name := fmt.Sprint(map[Kind]string{OfTopic: "t", OfUID: "u"}[k], n)
				if has := r.Has(k, name); told[k.String()+" "+name] != has {
					t.Errorf("%v %s has members: %t, and the contrary was told", k, name, has)
				}
			}
		}
		if told["all "] != r.Has(OfAll, "") {
			t.Error("the contrary was told of all")
		}
	}
	look()
	for _, c := range stay {
		r.Remove(&c.Member)
	}
	look()
	for set, has := range told {
		if has {
			t.Errorf("%s was not told to be empty", set)
		}
	}
}

// A uid in its grace has nobody to send to.
func TestChangedKnowsNoGrace(t *testing.T) {
	told := turns{}
	r := start(t, Config{Changed: told.turn})
	c := joined(t, r, "u", "t")
	r.Remove(&c.Member)
	if told["uid u"] || told["topic t"] || r.Has(OfUID, "u") || r.Has(OfTopic, "t") {
		t.Error("who has gone is still there")
	}
	back := added(r, "u")
	if !told["uid u"] || !r.Has(OfUID, "u") {
		t.Error("who is back within the grace is not there")
	}
	r.Remove(&back.Member)
}
