package troupe_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/registry"
	"github.com/troupe-actors/troupe/transport"
)

var (
	guardBytes  = []byte("0123456789")
	guardPacket = transport.NewPacket(transport.Binary, guardBytes)
)

// guardFrame is what the server makes of either.
const guardFrame = 2 + 10

// pauseCollector keeps the collector from emptying pools until it is told to go on.
func pauseCollector() (again func()) {
	percent := debug.SetGCPercent(-1)
	return func() { debug.SetGCPercent(percent) }
}

// guarded is a server with channels of one topic, and their clients.
type guarded struct {
	*stage
	channels []*actors.Channel
	conns    []net.Conn
	buf      []byte
}

// guard opens channels of user ann in the topic "full". Each says so when it got a
// message by PID.
func guard(t *testing.T, d transport.Driver, channels int, opts actors.Options, message func(*actors.Channel, actors.Message)) *guarded {
	t.Helper()
	if _, err := transport.NewPoller(); err != nil && d == actors.DriverPoller {
		t.Skip(err)
	}
	opened := make(chan *actors.Channel, channels)
	g := &guarded{buf: make([]byte, 64<<10)}
	of := d
	if d == transport.DriverMemory {
		of = actors.DriverAuto // of its links there are none
	}
	opts.Authorize = func(http.ResponseWriter, *http.Request) (string, bool) { return "ann", true }
	g.stage = play(t, of, opts,
		actors.Callbacks{
			Open:    func(c *actors.Channel) { _, _ = c.Join("full"); opened <- c },
			Message: message,
			Receive: func(_ *actors.Channel, ctx actor.Context) {
				if heard, ok := ctx.Message().(chan bool); ok {
					heard <- true
				}
			},
		})
	for range channels {
		if d == transport.DriverMemory {
			link, conn := (&transport.Config{}).MemoryPair(0)
			_, err := g.ep.Open(link, nil, "ann")
			must(t, err)
			g.conns = append(g.conns, conn)
			t.Cleanup(func() { _ = conn.Close() })
		} else {
			g.conns = append(g.conns, g.dial().Conn())
		}
		g.channels = append(g.channels, get(t, opened))
	}
	return g
}

// reads takes so many bytes from every client's connection.
func (g *guarded) reads(n int) {
	for _, conn := range g.conns {
		if _, err := io.ReadFull(conn, g.buf[:n]); err != nil {
			g.Fatal(err)
		}
	}
}

// sends and sendsMessage are handlers that answer with what they got.
func sends(c *actors.Channel, m actors.Message)        { _ = c.Send(m) }
func sendsMessage(c *actors.Channel, m actors.Message) { _ = c.SendMessage(m) }

func echoed(d transport.Driver, messages int, handler func(*actors.Channel, actors.Message), opts actors.Options) func(*testing.T) int {
	return func(t *testing.T) int {
		g := guard(t, d, 1, opts, handler)
		in := bytes.Repeat(clientFrame, messages)
		op := func() {
			if _, err := g.conns[0].Write(in); err != nil {
				t.Fatal(err)
			}
			g.reads(messages * guardFrame)
		}
		return allocations(op)
	}
}

func sent(send func(*actors.Channel)) func(*testing.T) int {
	return func(t *testing.T) int {
		g := guard(t, actors.DriverPoller, 1, actors.Options{}, nil)
		return allocations(func() {
			send(g.channels[0])
			g.reads(guardFrame)
		})
	}
}

func sentEvent(t *testing.T) int {
	opened := make(chan *actors.Channel, 1)
	s := play(t, actors.DriverAuto, actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) { opened <- c }})
	conn, err := net.Dial("tcp", s.srv.Listener.Addr().String())
	must(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
	must(t, err)
	c := get(t, opened)
	buf := make([]byte, 4096)
	op := func() {
		if err := c.Send(actors.Event{Data: guardBytes}); err != nil {
			t.Fatal(err)
		}
		for n := 0; !bytes.HasSuffix(buf[:n], []byte("0123456789\n\n\r\n")); {
			k, err := conn.Read(buf[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
	}
	return allocations(op)
}

func received(t *testing.T) int {
	g := guard(t, actors.DriverPoller, 1, actors.Options{}, nil)
	heard := make(chan bool, 1)
	root, message := g.rt.System().Root, any(heard)
	return allocations(func() {
		root.Send(g.channels[0].PID(), message)
		<-heard
	})
}

func published(members int) func(*testing.T) int {
	return func(t *testing.T) int {
		g := guard(t, actors.DriverPoller, members, actors.Options{}, nil)
		return allocations(func() {
			if err := g.rt.Publish("full", guardPacket); err != nil {
				t.Fatal(err)
			}
			g.reads(guardFrame)
		})
	}
}

func publishedMany(t *testing.T) int {
	g := guard(t, actors.DriverPoller, 65, actors.Options{}, nil)
	return allocations(func() {
		for range 16 {
			if err := g.rt.Publish("full", guardPacket); err != nil {
				t.Fatal(err)
			}
		}
		g.reads(16 * guardFrame)
	})
}

func joinedAndLeft(topic string) func(*testing.T) int {
	return func(t *testing.T) int {
		g := guard(t, transport.DriverMemory, 2, actors.Options{}, nil)
		c := g.channels[0]
		c.Leave("full")
		return allocations(func() {
			if came, err := c.Join(topic); !came || err != nil {
				t.Fatal(err)
			}
			if !c.Leave(topic) {
				t.Fatal("it was not there")
			}
		})
	}
}

func timed(t *testing.T) int {
	c := guard(t, transport.DriverMemory, 1, actors.Options{}, nil).channels[0]
	f := func() {}
	return allocations(func() { c.After(time.Hour, f).Stop() })
}

func fired(t *testing.T) int {
	c := guard(t, transport.DriverMemory, 1, actors.Options{}, nil).channels[0]
	done := make(chan bool, 1)
	f := func() { done <- true }
	return allocations(func() {
		c.After(0, f)
		<-done
	})
}

// boxOwner is a mailbox's, and takes everything at once.
type boxOwner struct {
	pid    *actor.PID
	system *actor.ActorSystem
	mailbox.Mailbox
	taken chan bool
}

func (o *boxOwner) Flush() {
	for {
		it, ok := o.Take()
		if !ok {
			return
		}
		o.Settle(1, it.Size)
		o.taken <- true
	}
}
func (o *boxOwner) Self() (*actor.PID, *actor.ActorSystem)  { return o.pid, o.system }
func (o *boxOwner) Route(any) (bool, error)                 { return false, nil }
func (o *boxOwner) Received(m any)                          { o.Invoke(m) }
func (o *boxOwner) Stopping()                               { o.Empty(); o.Terminate() }
func (o *boxOwner) Overflow()                               {}
func (o *boxOwner) Lost(mailbox.Item, mailbox.Outcome) bool { return false }
func (o *boxOwner) DeadLetter(any)                          {}
func (o *boxOwner) Settled(mailbox.Item, mailbox.Outcome)   {}
func (o *boxOwner) Signalled(mailbox.Signals)               {}
func (o *boxOwner) Failed(mailbox.Failure)                  {}
func (o *boxOwner) Fenced(mailbox.Failure)                  {}
func (o *boxOwner) Gone()                                   {}

func posted(t *testing.T) int {
	d, err := mailbox.NewDispatcher(mailbox.DispatcherConfig{})
	must(t, err)
	system := quietSystem()
	o := &boxOwner{taken: make(chan bool, 1), system: system}
	o.Init(&mailbox.Config{Dispatcher: d}, o)
	o.Hold(false, false)
	o.pid = system.Root.Spawn(actor.PropsFromFunc(func(actor.Context) {}, actor.WithMailbox(func() actor.Mailbox { return &o.Mailbox })))
	defer func() {
		must(t, system.Root.StopFuture(o.pid).Wait())
		system.Shutdown()
		must(t, d.Close(t.Context()))
	}()
	it := mailbox.Item{Message: guardPacket, Size: 10}
	return allocations(func() {
		if err := o.Post(it, mailbox.Reject); err != nil {
			t.Fatal(err)
		}
		<-o.taken
	})
}

// listener is a registry's subscriber who counts.
type listener struct {
	registry.Member
	uid   string
	heard func()
}

func (l *listener) Deliver(any)     { l.heard() }
func (l *listener) PID() *actor.PID { return nil }
func (l *listener) UID() string     { return l.uid }

func registryPublished(t *testing.T) int {
	r, stop := newRegistry(t)
	defer stop()
	n, all := 0, make(chan bool, 1)
	const members = 1000
	for i := range members {
		l := &listener{uid: fmt.Sprint(i), heard: func() {
			if n++; n%members == 0 {
				all <- true
			}
		}}
		r.Add(&l.Member, l)
		_, err := r.Join(&l.Member, "full")
		must(t, err)
	}
	message := any(guardPacket)
	return allocations(func() {
		must(t, r.Publish("full", message, nil))
		<-all
	})
}
