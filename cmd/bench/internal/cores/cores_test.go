//go:build linux

package cores

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		list  string
		count int // 0: an error
	}{
		{"0", 1}, {"0,2-3", 3}, {"5-5", 1}, {"", 0}, {"a", 0}, {"3-1", 0}, {"-1", 0}, {"1-", 0}, {"9999", 0},
	} {
		var set unix.CPUSet
		err := parse(test.list, &set)
		if (err != nil) != (test.count == 0) || err == nil && set.Count() != test.count {
			t.Errorf("%q: %d processors, %v", test.list, set.Count(), err)
		}
	}
}
