//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/troupe-actors/troupe/cmd/bench/internal/report"
)

// TestMain lets the test be the program itself, which compare and cluster start.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "server" || os.Args[1] == "load" || os.Args[1] == "node") {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestCompareRunsProcesses: what the processes of a comparison say of themselves
// reaches the report.
func TestCompareRunsProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	err := compare([]string{"-quick", "-only", "^(echo-128x100|burst-100|send)$", "-impl", "floor|troupe-poller|gws", "-json", file})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Entries) != 9 {
		t.Errorf("%d entries, want 9", len(r.Entries))
	}
	for _, e := range r.Entries {
		if len(e.Rounds) != 1 || len(e.Errors) != 0 || e.Rounds[0].Messages == 0 || e.Rounds[0].CPUMicros <= 0 || e.Rounds[0].Lost != 0 {
			t.Errorf("%s, %s: %+v, %v", e.Case, e.Server, e.Rounds, e.Errors)
		}
	}
}

func TestCompareTellsWhatFailed(t *testing.T) {
	err := compare([]string{"-quick", "-only", "^handshake$", "-impl", "floor", "-load-cpus", "0-nonsense"})
	if err == nil {
		t.Error("a load generator that cannot start is no error")
	}
}

// TestClusterRunsNodes: what is sent between the nodes of a cluster arrives, over mTLS
// and without.
func TestClusterRunsNodes(t *testing.T) {
	for _, flag := range []string{"-plain=false", "-plain"} {
		if err := nodes([]string{"-quick", "-only", "tells|fanout|users|memory", flag}); err != nil {
			t.Error(flag, err)
		}
	}
}
