package registry

import (
	"slices"
	"testing"
)

// A uid has a set only while it needs one, and who reads a list that was made of one
// is not disturbed when another uid gets it.
func TestAUIDWithOneMemberHasNoSet(t *testing.T) {
	r := start(t, Config{Grace: -1, Shards: 1})
	sh := r.shards[0]
	sets := func(want ...string) {
		t.Helper()
		sh.mu.Lock()
		defer sh.mu.Unlock()
		var got []string
		for uid, m := range sh.uids {
			if m.crowd() != nil {
				got = append(got, uid)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%q have a set, want %q", got, want)
		}
	}
	ann, bob := added(r, "ann"), added(r, "bob")
	sets()
	must(t, r.SendUID("ann", 1, nil))
	r.flush()
	sets()

	ann2 := added(r, "ann")
	sets("ann")
	var listed []Subscriber
	for s := range r.ByUID("ann") {
		if listed = append(listed, s); len(listed) == 1 {
			r.Remove(&ann2.Member)
			sets()
			bob2 := added(r, "bob") // in what was the set of ann
			sets("bob")
			r.Remove(&bob2.Member)
			sets()
		}
	}
	if want := []Subscriber{ann, ann2}; !slices.Equal(listed, want) {
		t.Errorf("listed %v, want %v", listed, want)
	}
	must(t, r.SendUID("ann", 2, nil))
	must(t, r.SendUID("bob", 3, nil))
	r.flush()
	if got := ann.received(); !slices.Equal(got, []any{1, 2}) {
		t.Errorf("ann got %v", got)
	}
	if got := bob.received(); !slices.Equal(got, []any{3}) {
		t.Errorf("bob got %v", got)
	}
	r.Remove(&ann.Member)
	sets()
	if n := len(slices.Collect(r.ByUID("ann"))); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// A set that was used is used again: a message for a uid makes none.
func TestSendUIDMakesNoSet(t *testing.T) {
	r := start(t, Config{Shards: 1})
	added(r, "ann")
	sh := r.shards[0]
	var first *set
	for range 10 {
		must(t, r.SendUID("ann", "x", nil))
		r.flush()
		sh.mu.Lock()
		if len(sh.spare) != 1 || first != nil && sh.spare[0] != first {
			t.Errorf("%d sets are kept", len(sh.spare))
		}
		first = sh.spare[0]
		sh.mu.Unlock()
	}
}
