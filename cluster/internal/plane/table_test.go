package plane

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

var start = time.Unix(1_000_000, 0)

func newState(t testing.TB, name string) *State {
	st, err := New(Config{Self: Node{name, name + ":1", 1}, Process: name, Kinds: 2})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// meet has a state see others, each a process of its own.
func meet(st *State, names ...string) []Node {
	var seen []Seen
	var nodes []Node
	for _, name := range names {
		n := Node{name, name + ":1", 1}
		seen, nodes = append(seen, Seen{Node: n, Process: name}), append(nodes, n)
	}
	st.Members(start, seen)
	return nodes
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{Self: Node{"a", "a:1", 1}, Process: "p", Kinds: 2, Watched: []Kind{1}}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"name":     func(c *Config) { c.Self.Name = "" },
		"addr":     func(c *Config) { c.Self.Addr = "" },
		"process":  func(c *Config) { c.Process = "" },
		"kinds":    func(c *Config) { c.Kinds = 257 },
		"watched":  func(c *Config) { c.Watched = []Kind{2} },
		"others":   func(c *Config) { c.Others = []Kind{2} },
		"both":     func(c *Config) { c.Others = []Kind{1} },
		"keepers":  func(c *Config) { c.Keepers = 9 },
		"grace":    func(c *Config) { c.Grace = -1 },
		"remember": func(c *Config) { c.Remember = -1 },
	} {
		bad := good
		spoil(&bad)
		if _, err := New(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestTableHoldsManyNodes goes beyond what a set holds in itself, and back.
func TestTableHoldsManyNodes(t *testing.T) {
	st := newState(t, "self")
	var names []string
	for i := range 9 {
		names = append(names, fmt.Sprint("node-", i))
	}
	nodes := meet(st, names...)
	st.Set(start, 0, "x", true)
	for n := range nodes {
		st.Receive(start, nodes[n], Entries{[]Change{{0, "x", true}, {1, names[n], true}}})
		if got, here := st.Table().Nodes(0, "x", nil); len(got) != n+1 || !here {
			t.Fatalf("after %d: %v, %v", n+1, got, here)
		}
	}
	ranged := 0
	st.Table().Range(0, func(name string, others []Node, here bool) bool {
		ranged++
		if name != "x" || len(others) != 9 || !here {
			t.Errorf("%s: %v, %v", name, others, here)
		}
		return true
	})
	if ranged != 1 || st.Table().Count(1) != 9 {
		t.Fatalf("%d ranged, %d counted", ranged, st.Table().Count(1))
	}
	for n := range nodes {
		st.Receive(start, nodes[n], Entries{[]Change{{0, "x", false}}})
		if got, _ := st.Table().Nodes(0, "x", nil); len(got) != 8-n {
			t.Fatalf("after %d went: %v", n+1, got)
		}
	}
	st.Set(start, 0, "x", false)
	if st.Table().Has(0, "x") || st.Table().Has(7, "x") || st.Table().Count(7) != 0 {
		t.Fatal("it has what nobody has")
	}
	st.Members(start, nil)
	if st.Table().Count(1) != 0 {
		t.Fatal("nodes that went have left something")
	}
}

// TestTableIsReadWhileItChanges lets others read while lives come and go: nobody
// sees one that has not what was asked for.
func TestTableIsReadWhileItChanges(t *testing.T) {
	st := newState(t, "self")
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			var room [8]Node
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, name := range []string{"a", "b"} {
					nodes, _ := st.Table().Nodes(0, name, room[:0])
					for _, n := range nodes {
						if n.Name != name {
							t.Errorf("%s is at %v", name, n)
							return
						}
					}
				}
				st.Table().Range(0, func(string, []Node, bool) bool { return true })
			}
		})
	}
	for i := range 2000 {
		name := []string{"a", "b"}[i%2]
		n := Node{name, name + ":1", uint64(i + 1)}
		st.Members(start, []Seen{{Node: n, Process: fmt.Sprint(i)}})
		st.Receive(start, n, Entries{[]Change{{0, name, true}}})
		st.Take()
	}
	close(stop)
	readers.Wait()
}

func TestLookupsAllocateNothing(t *testing.T) {
	st := newState(t, "self")
	for _, n := range meet(st, "a", "b", "c", "d", "e") {
		st.Receive(start, n, Entries{[]Change{{0, "x", true}}})
	}
	room := make([]Node, 0, 8)
	if n := testing.AllocsPerRun(100, func() {
		st.Table().Nodes(0, "x", room)
		st.Table().Has(0, "y")
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

// TestMemoryOfManyNames holds what 100,000 uids of a remote node cost.
func TestMemoryOfManyNames(t *testing.T) {
	const many = 100_000
	st := newState(t, "self")
	a := meet(st, "a")[0]
	st.Take()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range many {
		st.Receive(start, a, Entries{[]Change{{0, fmt.Sprintf("user-%011d", i), true}}})
	}
	each := float64(heap()-before) / many
	t.Logf("%.1f bytes each", each)
	if each > 90 {
		t.Errorf("a uid of 16 bytes on a remote node costs %.1f bytes", each)
	}
	runtime.KeepAlive(st)
}

func BenchmarkNodes(b *testing.B) {
	st := newState(b, "self")
	names := make([]string, 100_000)
	for _, n := range meet(st, "a", "b") {
		for i := range names {
			names[i] = fmt.Sprintf("user-%011d", i)
			st.Receive(start, n, Entries{[]Change{{0, names[i], true}}})
		}
	}
	room := make([]Node, 0, 8)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		st.Table().Nodes(0, names[i%len(names)], room)
		i += 7919
	}
}
