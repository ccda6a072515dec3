//go:build unix

package memberlist

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/cluster/membership"
	"github.com/troupe-actors/troupe/cluster/membership/membershiptest"
)

// childEnv makes this test binary a node of its own, with the Config in it.
const childEnv = "TROUPE_MEMBERLIST_NODE"

type childNode struct {
	Config Config
	Self   membership.Member
}

func TestMain(m *testing.M) {
	if said := os.Getenv(childEnv); said != "" {
		beNode(said)
		return
	}
	os.Exit(m.Run())
}

// beNode is a node until its standard input ends; it writes each list as a line.
func beNode(said string) {
	var n childNode
	if err := json.Unmarshal([]byte(said), &n); err != nil {
		panic(err)
	}
	p, err := New(n.Config)
	if err != nil {
		panic(err)
	}
	if err := p.Start(n.Self, func(list []membership.Member) { fmt.Println(len(list)) }); err != nil {
		panic(err)
	}
	io.Copy(io.Discard, os.Stdin)
	p.Stop()
}

// startProcess is a node in a process of its own, of which a test has self alone.
func startProcess(t *testing.T, name string, cfg Config) (*peer, *os.Process) {
	t.Helper()
	self := membership.Member{Name: name, Addr: "10.0.0.2:1", Epoch: 1, Process: fmt.Sprint(rand.Uint64())}
	node, err := json.Marshal(childNode{cfg, self})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(node))
	said := &membershiptest.Log{}
	cmd.Stderr = said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		in.Close()
		cmd.Wait()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it sees somebody
		t.Fatal(err)
	}
	return &peer{t: t, self: self, log: said}, cmd.Process
}

func TestPausedProcessComesBack(t *testing.T) {
	checkLeaks(t)
	addr := freeAddr(t)
	a, b := join(t, "a", 1, quick(addr)), join(t, "b", 1, quick(freeAddr(t), addr))
	a.sees(b)
	child, process := startProcess(t, "child", quick(freeAddr(t), addr))
	a.sees(b, child)
	b.sees(a, child)
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Log("paused process missed after", a.sees(b))
	b.sees(a)
	if err := process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	t.Log("and back after", a.sees(b, child))
	b.sees(a, child)
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	t.Log("killed process missed after", a.sees(b))
	b.sees(a)
}

func TestShortPauseIsNotNoticed(t *testing.T) {
	checkLeaks(t)
	addr := freeAddr(t)
	cfg := func(bind string) Config { c := quick(bind, addr); c.FailAfter = 20 * time.Second; return c }
	a := join(t, "a", 1, cfg(addr))
	child, process := startProcess(t, "child", cfg(freeAddr(t)))
	a.sees(child)
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	a.log.Await(t, patience, "Suspect "+gossipName(child.self)+" has failed") // and has half of FailAfter from now on
	if err := process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	child.log.Await(t, patience, "Refuting a suspect message")
	b := join(t, "b", 1, cfg(freeAddr(t)))
	a.sees(child, b)
	if _, lists := a.heard.List(); lists != 2 {
		t.Errorf("told %d lists, want the two of child and of b", lists)
	}
}
