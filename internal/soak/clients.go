package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/internal/twin"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// load is what the clients' process is told.
type load struct {
	Address  string
	Channels int
	Seed     uint64
}

// tale is what it tells at the end.
type tale struct {
	Visits, Messages, ThrownOut, Refused int64
	Wrong                                []string // some of what must not be
}

func (t tale) String() string {
	return fmt.Sprintf("%d visits, %d messages read, %d thrown out, %d not let in", t.Visits, t.Messages, t.ThrownOut, t.Refused)
}

// crowd is the clients.
type crowd struct {
	load
	ctx                                  context.Context
	visits, messages, thrownOut, refused atomic.Int64

	mu    sync.Mutex
	wrong []string
}

func visit() {
	line := twin.First()
	c := &crowd{}
	if line.Hear(&c.load) != nil {
		os.Exit(1)
	}
	ctx, stop := context.WithCancel(context.Background())
	c.ctx = ctx
	var all sync.WaitGroup
	for i := range c.Channels {
		r := rand.New(rand.NewPCG(c.Seed, uint64(i)))
		all.Go(func() {
			for ctx.Err() == nil {
				c.visits.Add(1)
				c.visit(r, fmt.Sprintf("client-%d", i))
			}
		})
	}
	var order string
	err := line.Hear(&order)
	stop()
	all.Wait()
	if err == nil {
		_ = line.Tell(tale{c.visits.Load(), c.messages.Load(), c.thrownOut.Load(), c.refused.Load(), c.wrong})
	}
}

// visit is one client's life.
func (c *crowd) visit(r *rand.Rand, uid string) {
	life := time.Duration(r.ExpFloat64() * float64(5*time.Second))
	ctx, cancel := context.WithTimeout(c.ctx, min(life, time.Minute))
	defer cancel()
	switch kind := r.IntN(100); {
	case kind < 60:
		c.chat(ctx, r, uid, "say", "echo", "echo", "wait")
	case kind < 65:
		c.chat(ctx, r, uid, "echo", "panic")
	case kind < 67:
		c.chat(ctx, r, uid, "echo", "stick")
	case kind < 75:
		c.dawdle(ctx, r, uid)
	case kind < 80:
		c.stall(ctx, r, uid)
	case kind < 90:
		c.stream(ctx, r)
	default:
		c.breakOff(r)
	}
}

func (c *crowd) dial(uid string, options ...transporttest.Option) *transporttest.Peer {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p, _, err := transporttest.DialPeer(ctx, "ws://"+c.Address+"/?uid="+uid, options...)
	if err != nil {
		c.refused.Add(1)
		return nil
	}
	return p
}

// chat reads everything and says one of these now and then.
func (c *crowd) chat(ctx context.Context, r *rand.Rand, uid string, verbs ...string) {
	p := c.dial(uid)
	if p == nil {
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.read(context.Background(), p, 0)
	}()
	for waits := true; waits; {
		select {
		case <-time.After(time.Duration(r.ExpFloat64() * float64(time.Second))):
			text := verbs[r.IntN(len(verbs))] + " " + strings.Repeat("x", r.IntN(500))
			if r.IntN(50) == 0 {
				text += strings.Repeat("long ", 20_000)
			}
			waits = p.WriteText(text) == nil
		case <-ended:
			waits = false
		case <-ctx.Done():
			waits = false
		}
	}
	c.leave(r, p)
	<-ended
}

// leave ends a connection in one of the ways in which they end.
func (c *crowd) leave(r *rand.Rand, p *transporttest.Peer) {
	defer p.Disconnect()
	switch r.IntN(4) {
	case 0:
		_ = p.Reset()
	case 1:
	default:
		if p.Close(1000, "") == nil {
			_ = p.CloseWrite()
		}
	}
}

// read takes messages, each after a pause, until the end, and looks that no news is
// missing.
func (c *crowd) read(ctx context.Context, p *transporttest.Peer, pause time.Duration) {
	next := uint64(0)
	for {
		op, b, err := p.ReadMessage(ctx)
		var end *transporttest.CloseError
		if errors.As(err, &end) && end.Code != 1000 {
			c.thrownOut.Add(1)
		}
		if err != nil {
			return
		}
		c.messages.Add(1)
		if op == transport.Binary {
			n := binary.BigEndian.Uint64(b)
			if len(b) != newsBytes || next != 0 && n != next {
				c.complain("news %d of %d bytes came in place of %d", n, len(b), next)
			}
			next = n + 1
		} else if verb, rest, _ := bytes.Cut(b, []byte(" ")); string(verb) != "say" && string(verb) != "echo" || len(bytes.Trim(rest, "xlong ")) > 0 {
			c.complain("%.20q came", b)
		}
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
		}
	}
}

func (c *crowd) complain(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.wrong) < 100 {
		c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
	}
}

// dawdle reads slowly what it asks for.
func (c *crowd) dawdle(ctx context.Context, r *rand.Rand, uid string) {
	p := c.dial(uid, transporttest.WithReadBuffer(4096))
	if p == nil {
		return
	}
	defer p.Disconnect()
	_ = p.WriteText("echo " + strings.Repeat("x", 200_000)) // if it is closed, it reads that
	c.read(ctx, p, 150*time.Millisecond)
}

// stall does not read what it asks for.
func (c *crowd) stall(ctx context.Context, r *rand.Rand, uid string) {
	p := c.dial(uid, transporttest.WithReadBuffer(4096))
	if p == nil {
		return
	}
	for range 3 {
		_ = p.WriteText("echo " + strings.Repeat("x", 100_000)) // if it is closed, it does not see that
	}
	<-ctx.Done()
	c.leave(r, p)
}

// stream is a client of HTTP streams.
func (c *crowd) stream(ctx context.Context, r *rand.Rand) {
	conn, err := net.DialTimeout("tcp", c.Address, time.Minute)
	if err != nil {
		c.refused.Add(1)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	accept := "text/event-stream"
	if r.IntN(2) == 0 {
		accept = "*/*"
	}
	_, _ = fmt.Fprintf(conn, "GET /?uid=stream HTTP/1.1\r\nHost: x\r\nAccept: %s\r\n\r\n", accept)
	_, _ = io.Copy(io.Discard, conn) // until either side has enough
}

// breakOff says a part of a handshake, or all of it, and is gone.
func (c *crowd) breakOff(r *rand.Rand) {
	conn, err := net.DialTimeout("tcp", c.Address, time.Minute)
	if err != nil {
		c.refused.Add(1)
		return
	}
	defer conn.Close()
	hello := "GET /?uid=nobody HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	_, _ = io.WriteString(conn, hello[:r.IntN(2*len(hello))%(len(hello)+1)])
	if r.IntN(2) == 0 {
		_ = conn.(*net.TCPConn).SetLinger(0)
	}
	time.Sleep(time.Duration(r.ExpFloat64() * float64(20*time.Millisecond)))
}
