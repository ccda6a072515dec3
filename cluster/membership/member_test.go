package membership

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestMemberIsValid(t *testing.T) {
	good := Member{Name: "käse-1", Addr: "[::1]:80", Process: "p"}
	tests := map[string]struct {
		change func(*Member)
		field  string
	}{
		"as it is":             {func(*Member) {}, ""},
		"longest":              {func(m *Member) { m.Name = strings.Repeat("n", 128); m.Process = strings.Repeat("p", 64) }, ""},
		"host name":            {func(m *Member) { m.Addr = "node-1.cluster.local:8080" }, ""},
		"no name":              {func(m *Member) { m.Name = "" }, "Name"},
		"long name":            {func(m *Member) { m.Name = strings.Repeat("n", 129) }, "Name"},
		"name with a space":    {func(m *Member) { m.Name = "a b" }, "Name"},
		"name with an at sign": {func(m *Member) { m.Name = "a@b" }, "Name"},
		"name with a newline":  {func(m *Member) { m.Name = "a\nb" }, "Name"},
		"name not UTF-8":       {func(m *Member) { m.Name = "a\xff" }, "Name"},
		"no process":           {func(m *Member) { m.Process = "" }, "Process"},
		"process with a slash": {func(m *Member) { m.Process = "a/b" }, "Process"},
		"no address":           {func(m *Member) { m.Addr = "" }, "Addr"},
		"no host":              {func(m *Member) { m.Addr = ":80" }, "Addr"},
		"no port":              {func(m *Member) { m.Addr = "host" }, "Addr"},
		"port 0":               {func(m *Member) { m.Addr = "host:0" }, "Addr"},
		"port too great":       {func(m *Member) { m.Addr = "host:65536" }, "Addr"},
		"long address":         {func(m *Member) { m.Addr = strings.Repeat("h", 253) + ":80" }, "Addr"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := good
			test.change(&m)
			err := m.Validate()
			if test.field == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var wrong *MemberError
			if !errors.As(err, &wrong) || wrong.Field != test.field {
				t.Errorf("%+v: %v, want an error of %s", m, err, test.field)
			}
		})
	}
}

func TestViewNamesEachNodeOnceInWhateverOrder(t *testing.T) {
	member := func(name, addr string, epoch uint64, process string) Member {
		return Member{Name: name, Addr: addr, Epoch: epoch, Process: process}
	}
	self := member("me", "h:1", 5, "p")
	all := []Member{
		member("me", "h:9", 9, "other"),   // a namesake, which the others believe
		member("me", "h:8", 4, "before"),  // and one that they do not
		member("me", "h:7", 8, "p"),       // self
		member("b", "h:2", 2, "earlier"),  // its earlier life
		member("b", "h:2", 3, "later"),    // the later
		member("c", "h:3", 1, "x"),        // as old as the next: the process decides
		member("c", "h:4", 1, "y"),        //
		member("a", "h:5", 1, "p"),        // its address went to another name
		member("d", "h:5", 2, "p"),        //
		member("old-me", "h:1", 1, "pre"), // self under the name before
	}
	want := []Member{member("b", "h:2", 3, "later"), member("c", "h:4", 1, "y"), member("d", "h:5", 2, "p"), member("me", "h:9", 9, "other")}
	for range 100 {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if got := View(self, slices.Clone(all)); !slices.Equal(got, want) {
			t.Fatalf("from %v\n got %v\nwant %v", all, got, want)
		}
	}
}
