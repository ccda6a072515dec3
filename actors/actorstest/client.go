package actorstest

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// Client is one client's end. It reads all the time, unless it is stalled,
// answers pings, and answers a close with its like, unless it is [Mute]; and it
// keeps what came for an Expect to ask for. Its methods are for the goroutine of
// the test. Those that send or do something do not wait for it to arrive, so that what
// two clients do races as in life: a [Sim.Wait] between them puts it in order.
type Client struct {
	sim        *Sim
	name       string
	framing    transport.Framing
	conn       *end
	peer       *transporttest.Peer
	key        string
	mute       bool
	compressed bool // once there is a response

	// Guarded by the sim's mu.
	resp    *http.Response
	channel *actors.Channel
	closed  *supervisor.Closed
	inbox   []Message
	goodbye *transporttest.CloseError // the server's
	said    bool                      // a close frame of ours
	over    bool                      // nothing comes any more
	why     error                     // nil: an end in order
	outbox  [][]byte
	writing bool
	lines   []string // the transcript
}

// Message is what a client got: a WebSocket message, a server-sent event, or as
// much of a plain stream as has arrived.
type Message struct {
	Data   string
	Binary bool   // of a WebSocket
	Event  string // of server-sent events
	ID     string // the same
}

// maxLines is how much of a transcript is kept.
const maxLines = 50

// Send sends a text message.
func (c *Client) Send(text string) { c.message(ws.OpText, []byte(text)) }

// SendBinary sends a binary message.
func (c *Client) SendBinary(b []byte) { c.message(ws.OpBinary, b) }

func (c *Client) message(op ws.OpCode, data []byte) {
	c.sim.Helper()
	c.webSocket("Send")
	f := ws.NewFrame(op, true, data)
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	if c.compressed {
		f = ws.NewFrame(op, true, c.peer.Deflate(data))
		f.Header.Rsv = ws.Rsv(true, false, false)
	}
	c.note("→ %s", shown(data))
	c.write(transporttest.Encode(f))
}

// SendRaw sends bytes as they are, such as frames that break a rule (see
// [transporttest.Encode]).
func (c *Client) SendRaw(b []byte) {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	c.note("→ raw %x", b[:min(len(b), 40)])
	c.write(b)
}

// Ping sends a ping.
func (c *Client) Ping() {
	c.sim.Helper()
	c.webSocket("Ping")
	c.SendRaw(transporttest.Encode(ws.NewPingFrame(nil)))
}

// Close says goodbye, with this code, or without one for 0.
func (c *Client) Close(code uint16, reason string) {
	c.sim.Helper()
	c.webSocket("Close")
	var body []byte
	if code != 0 {
		body = ws.NewCloseFrameBody(ws.StatusCode(code), reason)
	}
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	c.said = true
	c.note("→ close %d %q", code, reason)
	c.write(transporttest.Encode(ws.NewCloseFrame(body)))
}

// HangUp ends the connection in order and without a word of the protocol, as a
// process that ends does.
func (c *Client) HangUp() {
	c.did("hangs up")
	_ = c.conn.Close()
}

// Break breaks the link: both sides get a reset when they have read what has
// arrived.
func (c *Client) Break() {
	c.did("link breaks")
	c.conn.cut(0)
}

// BreakWithin breaks the link at a random byte of the next n, in whichever
// direction.
func (c *Client) BreakWithin(n int) {
	at := c.sim.rng.IntN(n)
	c.did("link will break after %d bytes", at)
	c.conn.cut(at)
}

// Stall has the client read nothing any more, until Resume.
func (c *Client) Stall() {
	c.did("stalls")
	c.conn.pause(true, toClient)
}

// Vanish has the link carry nothing any more in either direction, and neither side
// learn of it, until Resume.
func (c *Client) Vanish() {
	c.did("vanishes")
	c.conn.pause(true, toClient, toServer)
}

// Resume ends a Stall or Vanish: what was held up arrives.
func (c *Client) Resume() {
	c.did("resumes")
	c.conn.pause(false, toClient, toServer)
}

// crash is the value of the panics that a test asked for.
type crash struct{}

func (crash) Error() string { return "actorstest: as asked by Crash" }

// Crash has the handler panic, in a call of its own. It fails the test if the
// client has no open channel.
func (c *Client) Crash() {
	c.sim.Helper()
	channel := c.Channel()
	c.did("handler is made to panic")
	channel.After(0, func() { panic(crash{}) })
	c.sim.Wait()
}

// Hang has the handler not return for so long, in a call of its own.
func (c *Client) Hang(d time.Duration) {
	c.sim.Helper()
	channel := c.Channel()
	c.did("handler is made to hang for %v", d)
	c.sim.mu.Lock()
	c.sim.channel(channel.ID()).hangs++
	c.sim.mu.Unlock()
	channel.After(0, func() { time.Sleep(d) })
	c.sim.Wait()
}

func (c *Client) webSocket(method string) {
	c.sim.Helper()
	if c.framing != transport.FramingWebSocket {
		c.fail("%s: a stream goes one way", method)
	}
}

func (c *Client) did(format string, args ...any) {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	c.note(format, args...)
}

// note is called with mu held and adds a line to the transcript.
func (c *Client) note(format string, args ...any) {
	line := fmt.Sprintf("%10v  %s", time.Since(c.sim.began), fmt.Sprintf(format, args...))
	c.lines = append(c.lines, line)
	if len(c.lines) > 2*maxLines {
		c.lines = append(c.lines[:0], c.lines[maxLines:]...)
	}
	c.sim.notify()
}

// fail ends the test with what was wrong and what happened before.
func (c *Client) fail(format string, args ...any) {
	c.sim.Helper()
	c.sim.mu.Lock()
	lines := strings.Join(c.lines[max(0, len(c.lines)-maxLines):], "\n")
	c.sim.mu.Unlock()
	c.sim.Fatalf("actorstest: %s: %s\n%s", c.name, fmt.Sprintf(format, args...), lines)
}

// shown is a message in a transcript.
func shown(data []byte) string {
	if len(data) <= 200 {
		return fmt.Sprintf("%q", data)
	}
	return fmt.Sprintf("%q... (%d bytes)", data[:200], len(data))
}

// write is called with mu held. What is sent leaves in order, on a goroutine that
// lives while something waits.
func (c *Client) write(b []byte) {
	c.outbox = append(c.outbox, b)
	if !c.writing {
		c.writing = true
		c.sim.tasks.Go(c.writeAll)
	}
}

func (c *Client) writeAll() {
	for {
		c.sim.mu.Lock()
		if len(c.outbox) == 0 {
			c.writing = false
			c.sim.mu.Unlock()
			return
		}
		next := c.outbox[0]
		c.outbox = c.outbox[1:]
		c.sim.mu.Unlock()
		if n, err := c.conn.Write(next); err != nil {
			c.did("→ only %d of %d bytes: %v", n, len(next), err)
		}
	}
}
