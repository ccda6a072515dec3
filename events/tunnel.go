package events

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/transport"
)

// A tunnel carries a connection from the node that its client has come to, which knows
// nothing of what goes through it, to the node of its session, where it ends in memory.
// That node is asked for what it has to say, again and again, and told what the client says.

const (
	pullHold   = 5 * time.Second  // how long a question for what there is to say may wait
	tunnelIdle = 30 * time.Second // how long the node may wait to be asked
	tunnelPart = 16 << 10         // bytes that go at once
)

// tunnels are those that end here.
type tunnels struct {
	mu   sync.Mutex
	open map[uint64]*tunnel // by number; guarded by mu
}

type tunnel struct {
	from string // the node in between
	conn *transport.MemoryConn
	idle *time.Timer // closes it; stopped while somebody asks
}

func (ts *tunnels) add(from string, conn *transport.MemoryConn) uint64 {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.open == nil {
		ts.open = make(map[uint64]*tunnel)
	}
	// By chance: another life of the node, which is asked by the same name, shall not take one
	// for its own, that may be another client's.
	id := rand.Uint64()
	for id == 0 || ts.open[id] != nil {
		id = rand.Uint64()
	}
	ts.open[id] = &tunnel{from, conn, time.AfterFunc(tunnelIdle, func() { ts.close(id) })}
	return id
}

// cut is the tunnel whose number b begins with, and the rest.
func (ts *tunnels) cut(b []byte) (uint64, *tunnel, []byte, error) {
	id, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, nil, errWire
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.open[id]
	if t == nil {
		return 0, nil, nil, net.ErrClosed
	}
	return id, t, b[n:], nil
}

// rest waits to be asked again.
func (ts *tunnels) rest(id uint64) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.open[id]; t != nil {
		t.idle.Reset(tunnelIdle)
	}
}

// closeFrom ends those by way of a node that is gone: nobody will ask.
func (ts *tunnels) closeFrom(node string) {
	ts.mu.Lock()
	var all []uint64
	for id, t := range ts.open {
		if t.from == node {
			all = append(all, id)
		}
	}
	ts.mu.Unlock()
	for _, id := range all {
		ts.close(id)
	}
}

func (ts *tunnels) close(id uint64) {
	ts.mu.Lock()
	t := ts.open[id]
	delete(ts.open, id)
	ts.mu.Unlock()
	if t != nil {
		t.idle.Stop()
		t.conn.Close()
	}
}

// dock has a connection that comes through a tunnel carry the session.
func (s *Session) dock(ctx context.Context, from string, h *protocol.ClientHello) uint64 {
	o := s.srv.ep.Options()
	framing, how := transport.FramingWebSocket, WebSocket
	if h.Down == protocol.DownSSE {
		framing, how = transport.FramingSSE, SSE
	}
	cfg := &transport.Config{MaxMessageBytes: o.MaxMessageBytes, MaxTextBytes: o.MaxTextBytes, MaxFrameBytes: o.MaxFrameBytes, Reserve: s.srv.rt.Reserve}
	link, conn := cfg.MemoryStream(framing, 0)
	a := &arrival{link: link, how: how, resumed: true, received: h.Received}
	if !s.arrive(a) {
		a.dismiss(protocol.CodeDead, "the session ended")
	}
	link.Hold()
	id := s.srv.tunnels.add(from, conn)
	if ctx.Err() != nil {
		s.srv.tunnels.close(id) // nobody will ask
	}
	return id
}

// pulled answers the question for what there is to say: 1 and bytes, perhaps none yet, or 0
// at the end.
func (srv *Server) pulled(ctx context.Context, b []byte) ([]byte, error) {
	id, t, _, err := srv.tunnels.cut(b)
	if err != nil {
		return nil, err
	}
	t.idle.Stop()
	stop := context.AfterFunc(ctx, func() { srv.tunnels.close(id) })
	defer func() {
		if stop() {
			srv.tunnels.rest(id)
		}
	}()
	_ = t.conn.SetReadDeadline(time.Now().Add(pullHold)) // it does not fail
	part := make([]byte, 1+tunnelPart)
	n, err := t.conn.Read(part[1:])
	switch {
	case n > 0 || errors.Is(err, os.ErrDeadlineExceeded):
		part[0] = 1
		return part[:1+n], nil
	case err == io.EOF:
		srv.tunnels.close(id)
		return part[:1], nil
	}
	return nil, err
}

// pushed takes what a client says, and answers with how many bytes of it there was room
// for: all, as a rule. No bytes are the end.
func (srv *Server) pushed(b []byte) ([]byte, error) {
	id, t, said, err := srv.tunnels.cut(b)
	if err != nil {
		return nil, err
	}
	if len(said) == 0 {
		srv.tunnels.close(id)
		return nil, nil
	}
	_ = t.conn.SetWriteDeadline(time.Now().Add(pullHold)) // it does not fail
	n, err := t.conn.Write(said)
	switch {
	case errors.Is(err, syscall.EPIPE): // the session reads no more, but its last words may still be on their way
		n = len(said)
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		return nil, err
	}
	return binary.AppendUvarint(nil, uint64(n)), nil
}

// outlet is the end of a tunnel where the client is.
type outlet struct {
	srv  *Server
	node string
	id   []byte
}

// pull is what there is to say; io.EOF at the end.
func (o *outlet) pull(ctx context.Context) ([]byte, error) {
	b, err := o.srv.nodes.Ask(ctx, o.node, o.srv.service(pullService), o.id)
	switch {
	case err != nil:
		return nil, err
	case len(b) == 0:
		return nil, fmt.Errorf("%w: nothing of a tunnel", errWire)
	case b[0] == 0:
		return nil, io.EOF
	}
	return b[1:], nil
}

func (o *outlet) push(ctx context.Context, said []byte) error {
	for len(said) > 0 {
		b, err := o.srv.nodes.Ask(ctx, o.node, o.srv.service(pushService), append(o.id[:len(o.id):len(o.id)], said...))
		if err != nil {
			return err
		}
		said = said[min(uint64(count(b)), uint64(len(said))):]
	}
	return nil
}

// end closes the tunnel: the session waits for its client.
func (o *outlet) end() {
	ctx, cancel := context.WithTimeout(context.Background(), nodesTime)
	defer cancel()
	_, _ = o.srv.nodes.Ask(ctx, o.node, o.srv.service(pushService), o.id) // else it finds out by itself
}

// flow writes what the session has to say, until it has no more, or this node serves no
// more: then its client comes to another.
func (o *outlet) flow(ctx context.Context, write func([]byte) error) {
	for o.srv.rt.State() == actors.Running {
		b, err := o.pull(ctx)
		if err == io.EOF {
			return
		}
		if err == nil && len(b) > 0 {
			err = write(b)
		}
		if err != nil {
			break
		}
	}
	o.end()
}

// stream answers with server-sent events that come through a tunnel.
func (o *outlet) stream(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	rc := http.NewResponseController(w)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	write := func(b []byte) error {
		_ = rc.SetWriteDeadline(time.Now().Add(o.srv.opts.WriteTimeout)) // where it cannot be, the server's own has to do
		if _, err := w.Write(b); err != nil {
			return err
		}
		err := rc.Flush()
		_ = rc.SetWriteDeadline(time.Time{}) // HTTP/2 resets the stream then, also if there is nothing to write
		return err
	}
	if write(nil) != nil {
		o.end()
		return
	}
	o.flow(ctx, write)
}

// webSocket answers with a WebSocket that comes through a tunnel.
func (o *outlet) webSocket(w http.ResponseWriter, r *http.Request, codec string) {
	nc, err := transport.TakeOver(w, r, codec)
	if err != nil {
		o.end()
		o.srv.opts.Logger.Error("events: taking a connection over", "err", err)
		return
	}
	defer nc.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	up := make(chan struct{})
	go func() {
		defer close(up)
		defer cancel()
		part := make([]byte, tunnelPart)
		for broken := false; ; {
			n, err := nc.Read(part)
			if n > 0 && !broken && o.push(ctx, part[:n]) != nil {
				broken = true // what else comes is read, or the client might not read ours
				cancel()
			}
			if err != nil {
				return
			}
		}
	}()
	o.flow(ctx, func(b []byte) error {
		_ = nc.SetWriteDeadline(time.Now().Add(o.srv.opts.WriteTimeout)) // a write tells
		_, err := nc.Write(b)
		return err
	})
	cancel()
	_ = nc.CloseWrite()
	_ = nc.SetReadDeadline(time.Now().Add(time.Second))
	<-up
}
