package cluster_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// roleVariable makes of this test's program another process.
const roleVariable = "TROUPE_CLUSTER_TEST_ROLE"

// process is one, told what to do line by line. It answers each with a line.
type process struct {
	*testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

func (w *town) process(role string) *process {
	w.Helper()
	p := &process{T: w.T, cmd: exec.Command(os.Args[0]), lines: make(chan string, 64)}
	p.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	p.cmd.Stderr = os.Stderr
	var err error
	p.in, err = p.cmd.StdinPipe()
	must(w, err)
	out, err := p.cmd.StdoutPipe()
	must(w, err)
	must(w, p.cmd.Start())
	read := make(chan struct{})
	go func() { // until the process ends
		defer close(read)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	w.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-read
		_ = p.cmd.Wait()
	})
	return p
}

func (p *process) says(want string) {
	p.Helper()
	select {
	case got := <-p.lines:
		if got != want {
			p.Fatalf("says %q, want %q", got, want)
		}
	case <-time.After(patience):
		p.Fatalf("does not say %q", want)
	}
}

func (p *process) do(command string, args ...any) {
	p.Helper()
	_, err := fmt.Fprintf(p.in, command+"\n", args...)
	must(p.T, err)
}

func quiet() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithDeadLetterThrottleInterval(time.Millisecond), actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
}

// plain is a process that has protoactor's remote and nothing of ours but clusterpb.
func plain() {
	system := quiet()
	remote.NewRemote(system, remote.Configure("127.0.0.1", 0)).Start()
	watcher := system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.PID:
			ctx.Watch(m)
		case *actor.Terminated:
			fmt.Println("terminated", m.Who.Id, m.Why)
		}
	}))
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		word := strings.Fields(s.Text()) // what, whom and with what
		pid := actor.NewPID(word[1], word[2])
		switch word[0] {
		case "push":
			system.Root.Send(pid, &clusterpb.Push{Data: []byte(word[3])})
		case "close":
			code, _ := strconv.Atoi(word[3])
			system.Root.Send(pid, &clusterpb.Close{Code: uint32(code), Reason: "of remote's"})
		case "ask":
			answer, err := system.Root.RequestFuture(pid, wrapperspb.String(word[3]), patience).Result()
			fmt.Println(answer.(proto.Message).(*wrapperspb.StringValue).GetValue(), err)
		case "watch":
			system.Root.Send(watcher, pid)
		case "stop":
			system.Root.Stop(pid)
		case "poison":
			system.Root.Poison(pid)
		}
	}
}
