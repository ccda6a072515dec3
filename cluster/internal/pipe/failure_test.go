package pipe

import (
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// flow sends until a packet arrives.
func flow(t *testing.T, from, to *node) {
	t.Helper()
	until(t, "packets flow", func() bool {
		from.Send(to.Address(), &clusterpb.Packet{})
		return len(to.arrived) > 0
	})
}

func TestAPeerThatComesBackIsReachedAndNothingGrows(t *testing.T) {
	n := startNode(t, Config{Key: testKey}, nil)
	peer := startNode(t, Config{Key: testKey}, nil)
	address := peer.Address()
	const rounds = 20
	before := 0
	for round := range rounds {
		flow(t, n, peer)
		flow(t, peer, n)
		if round == 0 {
			before = runtime.NumGoroutine()
		}
		peer.Stop()
		for len(n.arrived) > 0 {
			<-n.arrived
		}
		if round%2 == 0 {
			n.Forget(address)
		}
		peer = startNode(t, Config{Bind: address, Key: testKey}, nil)
	}
	flow(t, n, peer)
	flow(t, peer, n)
	until(t, "as many goroutines as in the first round", func() bool { return runtime.NumGoroutine() <= before+2 })
	w := n.carrier.(*wire)
	until(t, "one connection each way", func() bool {
		w.mu.RLock()
		defer w.mu.RUnlock()
		w.listener.mu.Lock()
		defer w.listener.mu.Unlock()
		return len(w.open) == 1 && len(w.listener.conns) == 1
	})
}

// mute accepts and never answers.
func mute(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return l.Addr().String()
}

func TestAPeerThatNeverAnswersHoldsUpNobody(t *testing.T) {
	dead := mute(t)
	a, b := startNode(t, Config{}, nil), startNode(t, Config{}, nil)
	heard := watcher(t, a, actor.NewPID(dead, "x"))
	a.Send(dead, &clusterpb.Packet{})
	flow(t, a, b)
	flow(t, b, a)
	if why := hear(t, heard); why != actor.TerminatedReason_AddressTerminated {
		t.Errorf("told %v", why)
	}
	until(t, "the packet is given back", func() bool { return a.Stats().Undelivered >= 1 })

	// While it is tried again, Stop does not wait for it.
	a.Send(dead, &clusterpb.Packet{})
}

// proxy forwards until it hangs: then it takes nothing more and says nothing.
type proxy struct {
	net.Listener
	to   string
	hung chan struct{}
	over chan struct{}
	all  sync.WaitGroup
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, to: to, hung: make(chan struct{}), over: make(chan struct{})}
	p.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = conn.Close()
				continue
			}
			p.all.Go(func() { p.forward(conn, far) })
			p.all.Go(func() { p.forward(far, conn) })
		}
	})
	t.Cleanup(func() { close(p.over); _ = l.Close(); p.all.Wait() })
	return p
}

func (p *proxy) forward(from, to net.Conn) {
	stop := make(chan struct{})
	p.all.Go(func() {
		select {
		case <-p.over:
		case <-stop:
		}
		_ = from.Close()
		_ = to.Close()
	})
	defer close(stop)
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-p.hung:
			<-p.over
			return
		default:
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestAPeerThatHangsIsFoundByKeepalive(t *testing.T) {
	if testing.Short() {
		t.Skip("keepalive takes 13 s")
	}
	t.Parallel()
	a, b := startNode(t, Config{}, nil), startNode(t, Config{}, nil)
	c := startNode(t, Config{}, nil)
	p := startProxy(t, b.Address())
	ended := make(chan string, 16)
	a.system.EventStream.Subscribe(func(m any) {
		if m, ok := m.(*remote.EndpointTerminatedEvent); ok {
			ended <- m.Address
		}
	})
	through := p.Addr().String()
	a.Send(through, &clusterpb.Packet{})
	b.next(t)
	heard := watcher(t, a, actor.NewPID(through, "x"))
	close(p.hung)
	a.Send(through, &clusterpb.Packet{})
	flow(t, a, c)
	if got := <-ended; got != through {
		t.Errorf("%s has ended", got)
	}
	if why := hear(t, heard); why == actor.TerminatedReason_Stopped {
		t.Errorf("told %v", why)
	}
}

func TestASlowReceiverBoundsMemoryAndHoldsUpNobodyElse(t *testing.T) {
	wait := make(chan struct{})
	slow, err := Start(newSystem(), Config{Bind: "127.0.0.1:0"}, func(string, *clusterpb.Packet) { <-wait }, nobody)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slow.Stop)
	t.Cleanup(func() { close(wait) })
	a, b := startNode(t, Config{}, nil), startNode(t, Config{}, nil)
	frame := make([]byte, 64<<10) // shared by all: only what waits in front of gRPC is counted
	for a.Stats().Undelivered == 0 {
		a.Send(slow.Address(), &clusterpb.Packet{Frame: frame})
	}
	flow(t, a, b)
	flow(t, b, a)
	w := a.carrier.(*wire)
	l := w.link(slow.Address())
	l.mu.Lock()
	waits := l.bytes
	l.mu.Unlock()
	if waits > maxQueueBytes {
		t.Errorf("%d bytes wait", waits)
	}
	a.Forget(slow.Address()) // the writer waits for the window, and comes back at once
	until(t, "everything is given back", func() bool { return a.Stats().Undelivered > uint64(waits/(128<<10)) })
}

func TestStopWhileManySend(t *testing.T) {
	a, b := startNode(t, Config{}, nil), startNode(t, Config{}, nil)
	pid := actor.NewPID(b.Address(), "nobody")
	flow(t, a, b)
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a.Send(b.Address(), &clusterpb.Packet{})
				a.system.Root.Send(pid, &actor.PoisonPill{})
				runtime.Gosched()
			}
		})
	}
	a.Stop()
	b.Stop()
	close(stop)
	senders.Wait()
	before := a.Stats().Undelivered
	a.Send(b.Address(), &clusterpb.Packet{})
	if a.Stats().Undelivered != before+1 {
		t.Error("something is sent after the end")
	}
	a.Stop()
}
