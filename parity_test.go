package troupe_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The tables of docs/parity.md must name every item, and each must have its
// proof; see there for what a proof looks like.
const parityDoc = "docs/parity.md"

// mostWithoutMeaning is how many items may have no meaning in Go.
const mostWithoutMeaning = 9

// pains are the lines of the tables of pain points, by the first column.
var pains = map[string][]string{
	"3.1": {
		"#90, #180, #474", "#114", "#318, #391, #396", "#375, #76, #408, #30, #338, sente #260, sente #188",
		"#578, #579", "#527", "#227, #68, #319", "#350", "#64", "#617, #206", "#566", "#58", "#204", "#46", "#82", "#91",
		"#194", "#355, #125, #152", "#278, #299, #146, #409", "GHSA-j9v4-rr7v-r6pw, GHSA-4gx4-prhm-c233, GHSA-qwg7-h8j3-975p",
	},
	"3.2": {
		"#446", "#124", "#270", "#127, #417, #420", "#419, #423", "#421, #276, #23", "#134, #235, #82, #118", "#234, #48, #414", "#33",
		"#431, #230, #150", "#259", "#455", "#380", "#471", "#462", "#137 (CVE-2019-1000022), #418, #465", "#467, #80, #332, #171, #177",
		"#31", "#470, #398, #477", "#439, FAQ", "#475, #476", "#434",
	},
	"3.3": {"#497, #656", "#955, #968, #1016, #845", "#1012", "#669", "#974"},
	"3.4": {"wunderboss #18", "sente #150, IMMUTANT-564, IMMUTANT-572", "IMMUTANT-630, IMMUTANT-632", "strojure"},
	"3.5": {
		"I1", "I2", "I3", "I4", "I5",
		"S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9", "S10",
		"P1", "P2", "P3", "P4", "P5",
		"H1", "H2", "H3", "H4", "H5", "H6",
		"U1", "U2", "U3", "U4",
	},
}

// parityRow is a line of a table.
type parityRow struct {
	section string // the first word of the heading above it
	id      string
	cells   []string
	line    int
}

func (r parityRow) proof() string { return r.cells[len(r.cells)-1] }

func TestParity(t *testing.T) {
	rows := parityRows(t)
	seen := map[string]int{} // section and id of what is no item, the number of an item
	meaningless := 0
	tests := make(testsOf)
	for _, r := range rows {
		fail := func(format string, args ...any) {
			t.Helper()
			t.Errorf("%s:%d: %s: %s", parityDoc, r.line, r.id, fmt.Sprintf(format, args...))
		}
		key := r.section + " " + r.id
		item := strings.HasPrefix(r.section, "2.")
		if item {
			key = r.id
		}
		if seen[key]++; seen[key] > 1 {
			fail("is there twice")
		}
		for _, cell := range r.cells {
			if cell == "" {
				fail("has an empty cell")
			}
		}
		proof := r.proof()
		names := spans(proof)
		switch {
		case strings.Contains(proof, "TODO"):
			fail("%s", proof)
			continue
		case item && strings.HasPrefix(proof, "none in Go: "):
			meaningless++
		case !item && strings.HasPrefix(proof, "later: "):
		case len(names) == 0:
			fail("has no proof")
		}
		for _, name := range names {
			if err := tests.check(name); err != nil {
				fail("%v", err)
			}
			if item {
				if err := checkNumber(name, r.id); err != nil {
					fail("%v", err)
				}
			}
		}
	}
	if meaningless > mostWithoutMeaning {
		t.Errorf("%d items are said to have no meaning in Go, at most %d may", meaningless, mostWithoutMeaning)
	}
	for _, key := range parityKeys() {
		if seen[key] == 0 {
			t.Errorf("%s: no line for %s", parityDoc, key)
		}
		delete(seen, key)
	}
	for key := range seen {
		t.Errorf("%s: nobody asks for %s", parityDoc, key)
	}
}

// parityKeys is what must be there.
func parityKeys() []string {
	var keys []string
	for n := 1; n <= 243; n++ {
		keys = append(keys, strconv.Itoa(n))
	}
	for n := 1; n <= 16; n++ {
		keys = append(keys, fmt.Sprintf("D1-D16 D%d", n))
	}
	for section, ids := range pains {
		for _, id := range ids {
			keys = append(keys, section+" "+id)
		}
	}
	return keys
}

// parityRows reads the lines of all tables.
func parityRows(t *testing.T) []parityRow {
	t.Helper()
	text, err := os.ReadFile(parityDoc)
	must(t, err)
	var rows []parityRow
	section, columns := "", 0 // columns of the table we are in, 0 outside
	for n, line := range strings.Split(string(text), "\n") {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			section, _, _ = strings.Cut(heading, " ")
		}
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case columns == 0: // the first is the heading
			columns = len(cells)
		case strings.HasPrefix(cells[0], "---"):
		case len(cells) != columns:
			t.Errorf("%s:%d: %d cells under %d headings", parityDoc, n+1, len(cells), columns)
		default:
			rows = append(rows, parityRow{section: section, id: cells[0], cells: cells[1:], line: n + 1})
		}
	}
	return rows
}

// The checks themselves find what is wrong.
func TestParityFindsMistakes(t *testing.T) {
	ts := make(testsOf)
	for _, good := range []string{
		"TestParity", "TestPromise2ExactlyOneClose/reset", "transport: TestRFC6455/§5.4 fragments make one message",
		"TestPromise2ExactlyOneClose/peer_close_frame", "actors: ExampleRuntime_Drain",
		`internal/browsertest/chat.test.mjs: "a reload is invisible to the others"`,
	} {
		if err := ts.check(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"TestNobodyWrote", "TestParity/no such" + " subtest", "nowhere: TestParity", "mailbox: TestParity", "",
		`internal/browsertest/chat.test.mjs: "a reload"`, `internal/none.test.mjs: "x"`,
	} {
		if ts.check(bad) == nil {
			t.Errorf("%q passes", bad)
		}
	}
	for proof, right := range map[string]bool{
		"TestX/004 005 both": true, "TestX/005 one": false, "TestX": true, "actors: TestX/004_one": true, "TestX/4 of them": true,
	} {
		if (checkNumber(proof, "4") == nil) != right {
			t.Errorf("%q as a proof of 4: %v", proof, !right)
		}
	}
}
