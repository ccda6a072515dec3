package plane

import (
	"slices"
	"testing"
)

// TestElsewhere is about others only, and tells who was lost from who went.
func TestElsewhere(t *testing.T) {
	st, err := New(Config{Self: Node{"self", "self:1", 1}, Process: "p", Kinds: 1, Others: []Kind{0}})
	if err != nil {
		t.Fatal(err)
	}
	nodes := meet(st, "a", "b")
	said := func(want ...Elsewhere) {
		t.Helper()
		var got []Elsewhere
		for _, e := range st.Take() {
			if e, ok := e.(Elsewhere); ok {
				got = append(got, e)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
	tell := func(n Node, here bool) { st.Receive(start, n, Entries{[]Change{{0, "x", here}}}) }
	st.Set(start, 0, "x", true)
	said()
	tell(nodes[0], true)
	said(Elsewhere{Name: "x", On: true})
	tell(nodes[1], true)
	st.Set(start, 0, "x", false)
	tell(nodes[0], false)
	said()
	tell(nodes[1], false)
	said(Elsewhere{Name: "x"})
	st.Set(start, 0, "x", true)
	tell(nodes[0], true)
	st.Members(start, nil)
	said(Elsewhere{Name: "x", On: true}, Elsewhere{Name: "x", Lost: true})
	st.Set(start, 0, "x", false)
	said()
}
