package pipe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// helloTimeout is how long connecting may take, TLS and the peer's answer
	// included. Meanwhile messages wait.
	helloTimeout = 3 * time.Second
	// downFor is how long everything to an address that could not be reached
	// is refused at once, before it is tried again.
	downFor = 250 * time.Millisecond
	// maxQueueBytes bounds what waits for one peer, with messageCost for each
	// message beside its bytes.
	maxQueueBytes = 64 << 20
	messageCost   = 128
)

// delivery is a message on its way to another node.
type delivery struct {
	target  *actor.PID
	sender  *actor.PID
	header  actor.ReadonlyMessageHeader
	message any
	bytes   int
}

type watch struct {
	watcher, watchee string
	request          uint32 // of the watcher
}

// link is our connection to one address, from the first message to it until
// the connection ends. Its goroutine, started with it, is run.
type link struct {
	wire    *wire
	address string
	ctx     context.Context
	cancel  context.CancelFunc
	wake    chan struct{} // of 1: queue is not empty

	mu      sync.Mutex
	queue   []delivery           // guarded by mu
	bytes   int                  // of queue and of what is being written; guarded by mu
	down    bool                 // nothing goes in any more; guarded by mu
	watches map[watch]*actor.PID // the watchee, by who watches it; guarded by mu
	system  string               // whose address it is, from when it is connected; guarded by mu
}

// push takes the message, or says why not.
func (l *link) push(d delivery) error {
	d.bytes += messageCost
	l.mu.Lock()
	if l.down || l.bytes+d.bytes > maxQueueBytes {
		defer l.mu.Unlock()
		if l.down {
			return ErrNodeLost
		}
		return ErrFull
	}
	switch m := d.message.(type) {
	case *actor.Watch:
		if l.watches == nil {
			l.watches = make(map[watch]*actor.PID)
		}
		l.watches[watching(m.Watcher, d.target)] = d.target
	case *actor.Unwatch:
		delete(l.watches, watching(m.Watcher, d.target))
	}
	l.bytes += d.bytes
	l.queue = append(l.queue, d)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

func watching(watcher, watchee *actor.PID) watch {
	return watch{watcher: watcher.Id, watchee: watchee.Id, request: watcher.RequestId}
}

func (p *Pipe) watcher(w watch) *actor.PID {
	return &actor.PID{Address: p.Address(), Id: w.watcher, RequestId: w.request}
}

// unwatch forgets a watch that has been answered, and tells whether there was one.
func (l *link) unwatch(watcher, watchee *actor.PID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := watching(watcher, watchee)
	_, was := l.watches[w]
	delete(l.watches, w)
	return was
}

// unwatchOf is unwatch, if it is the link to that system.
func (l *link) unwatchOf(system string, watcher, watchee *actor.PID) bool {
	l.mu.Lock()
	is := l.system == system && system != ""
	l.mu.Unlock()
	return is && l.unwatch(watcher, watchee)
}

// run lasts as long as the connection. However it ends, nothing stays: who
// watches is told, what waits is given back.
func (l *link) run() {
	defer l.wire.links.Done()
	connected, err := l.talk()
	l.cancel()
	if status.Code(err) != codes.Canceled { // else it was to end
		l.wire.trouble(l.address, err)
	}
	if connected {
		l.wire.remove(l) // what is sent from here on begins anew
	}
	l.giveUp()
	l.wire.p.system.EventStream.Publish(&remote.EndpointTerminatedEvent{Address: l.address})
	if !connected {
		select {
		case <-time.After(downFor):
		case <-l.wire.ctx.Done():
		}
		l.wire.remove(l)
	}
}

// refuse gives back what was pushed. Who watches may have been told, or watch otherwise now.
func (l *link) refuse(d delivery, cause error) {
	if m, ok := d.message.(*actor.Watch); ok && !l.unwatch(m.Watcher, d.target) {
		return
	}
	l.wire.refuse(d, cause)
}

// giveUp closes the queue.
func (l *link) giveUp() {
	l.mu.Lock()
	queue, watches := l.queue, l.watches
	l.queue, l.watches, l.down = nil, nil, true
	l.mu.Unlock()
	for w, watchee := range watches {
		l.wire.lost(l.wire.p.watcher(w), watchee)
	}
	for _, d := range queue {
		l.refuse(d, ErrNodeLost)
	}
}

// talk connects and writes until the connection ends; it says whether there
// was one, and why there is none.
func (l *link) talk() (connected bool, err error) {
	conn, err := grpc.NewClient("passthrough:///"+l.address, l.wire.dial...)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	stream, err := l.connect(conn)
	if err != nil {
		l.wire.p.system.Logger().Debug("cluster: connect", "address", l.address, "error", err)
		return false, err
	}
	l.wire.trouble(l.address, nil)
	l.wire.p.system.EventStream.Publish(&remote.EndpointConnectedEvent{Address: l.address})

	listening := make(chan struct{})
	var ended error // of the goroutine, until listening is closed
	go func() {     // until the stream ends, which talk waits for
		defer close(listening)
		defer l.cancel()
		for {
			m, err := stream.Recv()
			if err != nil || m.GetDisconnectRequest() != nil {
				ended = err
				return
			}
		}
	}()
	l.write(stream)
	l.cancel()
	<-listening
	return true, ended
}

// connect waits for a peer that speaks remote's protocol.
func (l *link) connect(conn *grpc.ClientConn) (stream remote.Remoting_ReceiveClient, err error) {
	hello := time.AfterFunc(helloTimeout, l.cancel)
	defer func() {
		if !hello.Stop() && err != nil {
			err = errNoAnswer
		}
	}()
	stream, err = remote.NewRemotingClient(conn).Receive(l.ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.Send(l.wire.hello()); err != nil {
		return nil, err
	}
	answer, err := stream.Recv()
	switch {
	case err != nil:
		return nil, err
	case answer.GetConnectResponse() == nil:
		return nil, errors.New("no answer of remote's")
	case !hello.Stop():
		return nil, errNoAnswer
	}
	l.mu.Lock()
	l.system = answer.GetConnectResponse().GetMemberId()
	l.mu.Unlock()
	return stream, nil
}

var errNoAnswer = fmt.Errorf("no answer within %v", helloTimeout)

// write writes what comes until the stream ends.
func (l *link) write(stream remote.Remoting_ReceiveClient) {
	var w writer
	var queue []delivery
	for {
		select {
		case <-l.wake:
		case <-l.ctx.Done():
			return
		}
		var bytes int
		queue, bytes = l.take(queue)
		for rest := queue; len(rest) > 0; {
			m, n := w.next(rest, l)
			if m != nil && stream.SendMsg(m) != nil {
				for _, d := range rest { // no part of a message arrives
					if d.message != nil {
						l.refuse(d, ErrNodeLost)
					}
				}
				return
			}
			rest = rest[n:]
		}
		l.written(bytes)
	}
}

// keptQueue is how long a queue may have been for its memory to be kept.
const keptQueue = 1024

// take empties the queue, which goes on in the memory of the one before.
func (l *link) take(before []delivery) (queue []delivery, bytes int) {
	clear(before)
	if cap(before) > keptQueue {
		before = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	queue, l.queue = l.queue, before[:0]
	return queue, l.bytes
}

func (l *link) written(bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes -= bytes
}
