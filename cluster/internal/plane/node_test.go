package plane

import (
	"fmt"
	"testing"
)

// TestKeepersSpreadEvenly holds rendezvous hashing to names as operators give them.
func TestKeepersSpreadEvenly(t *testing.T) {
	for _, format := range []string{"node-%d", "troupe-%d.troupe.default.svc.cluster.local", "10.0.0.%d", "%d", "host%03d"} {
		const nodes = 100
		first, second := map[string]int{}, map[string]int{}
		for i := range nodes {
			var of []candidate
			for j := range nodes {
				if i != j {
					of = append(of, candidate{Node: Node{Name: fmt.Sprintf(format, j)}})
				}
			}
			rank(fmt.Sprintf(format, i), of)
			first[of[0].Name]++
			second[of[1].Name]++
		}
		// 100 balls in 100 bins: the fullest has some 4, and 8 once in 100,000.
		for name, n := range first {
			if n > 7 || second[name] > 7 {
				t.Errorf("%s is the first keeper of %d, the second of %d", name, n, second[name])
			}
		}
		if len(first) < nodes/2 || len(second) < nodes/2 {
			t.Errorf("%s: only %d and %d nodes are keepers", format, len(first), len(second))
		}
	}
}

// TestWhoDrainsKeepsLast: it will be gone soon.
func TestWhoDrainsKeepsLast(t *testing.T) {
	of := []candidate{{Node{Name: "a"}, true}, {Node{Name: "b"}, false}, {Node{Name: "c"}, true}, {Node{Name: "d"}, false}}
	rank("x", of)
	if of[0].draining || of[1].draining {
		t.Fatal(of)
	}
}
