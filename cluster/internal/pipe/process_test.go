package pipe

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// roleVariable makes of this test's program another node: "plain" has only
// protoactor's remote, "pipe" this package with the test's key.
const roleVariable = "TROUPE_PIPE_TEST_ROLE"

// process is a node in a process of its own, told what to do line by line.
type process struct {
	t       testing.TB
	cmd     *exec.Cmd
	in      io.WriteCloser
	lines   chan string
	address string
}

func startProcess(t testing.TB, role string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0]), lines: make(chan string, 64)}
	p.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in = in
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-read
		_ = p.cmd.Wait()
	})
	p.address = p.line()
	return p
}

func (p *process) do(command string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, command+"\n", args...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) line() string {
	p.t.Helper()
	select {
	case l := <-p.lines:
		return l
	case <-time.After(patience):
		p.t.Fatal("the other process says nothing")
		return ""
	}
}

// play is main of the other process. Every actor here is "echo": it answers a
// text with the same, and a number n once it has had n texts.
func play(role string) {
	system := newSystem()
	var p *Pipe
	switch role {
	case "plain":
		remote.NewRemote(system, remote.Configure("127.0.0.1", 0)).Start()
	case "pipe":
		expected, had := 0, 0
		var err error
		p, err = Start(system, Config{Bind: "127.0.0.1:0", Key: testKey}, func(from string, m *clusterpb.Packet) {
			if m.Seq > 0 {
				expected, had = int(m.Seq), 0
			}
			if had++; had == expected {
				p.Send(from, &clusterpb.Packet{})
			}
		}, nobody)
		if err != nil {
			panic(err)
		}
	}
	had := 0
	var asker *actor.PID
	_, err := system.Root.SpawnNamed(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *wrapperspb.StringValue:
			c.Respond(m)
		case *wrapperspb.BytesValue:
			if had--; had == 0 {
				c.Send(asker, &wrapperspb.StringValue{})
			}
		case *wrapperspb.Int64Value:
			had, asker = int(m.Value), c.Sender()
		case *actor.PID:
			c.Watch(m)
		case *actor.Terminated:
			fmt.Println("terminated", m.Who.Id, m.Why)
		}
	}), "echo")
	if err != nil {
		panic(err)
	}
	fmt.Println(system.Address())
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		word := strings.Fields(s.Text())
		pid := actor.NewPID(word[1], word[2])
		switch word[0] {
		case "ask":
			answer, err := system.Root.RequestFuture(pid, wrapperspb.String("hello"), patience).Result()
			fmt.Println(answer, err)
		case "watch":
			system.Root.Send(system.NewLocalPID("echo"), pid)
		}
	}
}
