package pipe

import (
	"context"
	"fmt"
	"maps"
	"net"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// carrier takes messages to other nodes. None of its methods waits but stop.
type carrier interface {
	user(pid *actor.PID, header actor.ReadonlyMessageHeader, message any, sender *actor.PID)
	system(pid *actor.PID, message any)
	answeredBy(system string, watcher, watchee *actor.PID) bool // answered, by whatever address that system is called here
	answered(watcher, watchee *actor.PID) bool                  // see Pipe.Answered
	unanswered(address string) map[watch]*actor.PID             // who watches there
	wrong(address string) error                                 // see Pipe.Wrong
	forget(address string)
	close() // may be called before stop, and again
	stop()
}

// wire speaks remote's protocol: a server for the streams of others, and a
// link for each address that something is sent to.
type wire struct {
	// Immutable once served.
	p        *Pipe
	maximum  int // bytes of one message
	dial     []grpc.DialOption
	server   *grpc.Server
	listener *listener

	ctx    context.Context // ended by stop
	cancel context.CancelFunc
	links  sync.WaitGroup
	served chan struct{} // closed when the server has ended

	mu    sync.RWMutex
	open  map[string]*link // by address; guarded by mu
	fails map[string]error // why there is no connection, by address; guarded by mu
	ended bool             // guarded by mu
}

// serve begins to listen to others.
func (w *wire) serve() {
	remote.RegisterRemotingServer(w.server, &service{p: w.p})
	go func() { // until stop ends the server
		defer close(w.served)
		_ = w.server.Serve(w.listener)
	}()
}

func (w *wire) hello() *remote.RemoteMessage {
	return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{
		ConnectRequest: &remote.ConnectRequest{ConnectionType: &remote.ConnectRequest_ServerConnection{
			ServerConnection: &remote.ServerConnection{SystemId: w.p.system.ID, Address: w.p.Address()},
		}},
	}}
}

// link gives the link to an address, a new one if there is none; nil once the
// wire has ended.
func (w *wire) link(address string) *link {
	w.mu.RLock()
	l := w.open[address]
	w.mu.RUnlock()
	if l != nil {
		return l
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.open[address]; l != nil || w.ended {
		return l
	}
	l = &link{wire: w, address: address, wake: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancel(w.ctx)
	w.open[address] = l
	w.links.Add(1)
	go l.run()
	return l
}

func (w *wire) remove(l *link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open[l.address] == l {
		delete(w.open, l.address)
	}
}

func (w *wire) user(pid *actor.PID, header actor.ReadonlyMessageHeader, message any, sender *actor.PID) {
	d := delivery{target: pid, sender: sender, header: header, message: message}
	switch m := message.(type) {
	case *clusterpb.Packet:
		d.bytes = len(m.Frame) + len(m.Control)
	case proto.Message:
		d.bytes = proto.Size(m)
	case remote.RootSerializable: // its size is known when it is written
	default:
		w.unsendable(d, fmt.Errorf("%w: a %T", errNoProto, message))
		return
	}
	if d.bytes > w.maximum {
		w.unsendable(d, ErrTooLarge)
		return
	}
	w.push(d)
}

func (w *wire) system(pid *actor.PID, message any) {
	if _, ok := message.(proto.Message); !ok {
		w.unsendable(delivery{target: pid, message: message}, fmt.Errorf("%w: a %T", errNoProto, message))
		return
	}
	w.push(delivery{target: pid, message: message})
}

func (w *wire) push(d delivery) {
	err := ErrLeft
	if l := w.link(d.target.Address); l != nil {
		err = l.push(d)
	}
	if err != nil {
		w.refuse(d, err)
	}
}

// errNoProto is the error of what plain nodes are not spoken to of.
var errNoProto = fmt.Errorf("%w: no protobuf, and the node may be a plain one", ErrUnsendable)

func (w *wire) unsendable(d delivery, err error) {
	w.p.unsendable.Add(1)
	w.refuse(d, err)
}

// refuse tells whom it concerns that a message does not arrive.
func (w *wire) refuse(d delivery, cause error) {
	switch m := d.message.(type) {
	case *clusterpb.Packet: // of no interest to the application
		w.p.undelivered.Add(1)
	case *actor.Watch:
		w.lost(m.Watcher, d.target)
	default:
		w.p.Undelivered(&Undelivered{d.target, d.message, d.sender, cause})
	}
}

// lost tells a watcher here that the node of what it watches is gone.
func (w *wire) lost(watcher, watchee *actor.PID) {
	if to, ok := w.p.system.ProcessRegistry.GetLocal(watcher.Id); ok {
		to.SendSystemMessage(watcher, &actor.Terminated{Who: watchee, Why: actor.TerminatedReason_AddressTerminated})
	}
}

func (w *wire) answered(watcher, watchee *actor.PID) bool {
	w.mu.RLock()
	l := w.open[watchee.Address]
	w.mu.RUnlock()
	return l != nil && l.unwatch(watcher, watchee)
}

func (w *wire) answeredBy(system string, watcher, watchee *actor.PID) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, l := range w.open {
		if l.unwatchOf(system, watcher, watchee) {
			return true
		}
	}
	return false
}

func (w *wire) unanswered(address string) map[watch]*actor.PID {
	w.mu.RLock()
	l := w.open[address]
	w.mu.RUnlock()
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.watches)
}

// mostFails is of how many addresses it is known why there is no connection.
const mostFails = 1024

// trouble notes why there is no connection to an address; nil: there is one.
func (w *wire) trouble(address string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		delete(w.fails, address)
		return
	}
	if w.fails == nil || len(w.fails) >= mostFails {
		w.fails = make(map[string]error)
	}
	w.fails[address] = err
}

func (w *wire) wrong(address string) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.fails[address]
}

func (w *wire) forget(address string) {
	w.mu.Lock()
	l := w.open[address]
	delete(w.open, address)
	w.mu.Unlock()
	if l != nil {
		l.cancel()
	}
}

// close ends the links, and whatever the readers read.
func (w *wire) close() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.cancel()
	w.listener.closeAll() // gRPC waits for those that have not said who they are
}

// stop ends the readers and the links, and waits for both.
func (w *wire) stop() {
	w.close()
	w.server.Stop()
	<-w.served
	w.links.Wait()
}

// listener knows its connections.
type listener struct {
	net.Listener
	mu     sync.Mutex
	conns  map[*accepted]struct{} // guarded by mu
	closed bool                   // guarded by mu
}

type accepted struct {
	net.Conn
	l *listener
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	a := &accepted{conn, l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	l.conns[a] = struct{}{}
	return a, nil
}

func (a *accepted) Close() error {
	a.l.mu.Lock()
	delete(a.l.conns, a)
	a.l.mu.Unlock()
	return a.Conn.Close()
}

func (l *listener) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	_ = l.Close()
	for a := range l.conns {
		_ = a.Conn.Close()
	}
}
