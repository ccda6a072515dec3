package actorstest

import (
	"net/http"
	"strings"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// Expect waits for messages, these and in this order. Of a plain stream it takes as
// many bytes.
func (c *Client) Expect(want ...string) {
	c.sim.Helper()
	for _, w := range want {
		if c.framing == transport.FramingStream {
			c.expectBytes(w)
		} else if m := c.next("%q", w); m.Data != w {
			c.fail("want %q, got %s", w, shown([]byte(m.Data)))
		}
	}
}

// Next waits for the next message.
func (c *Client) Next() Message {
	c.sim.Helper()
	return c.next("a message")
}

// ExpectLater waits for a message and passes over all before it.
func (c *Client) ExpectLater(want string) {
	c.sim.Helper()
	for c.next("%q, sooner or later", want).Data != want {
	}
}

func (c *Client) next(format string, args ...any) (m Message) {
	c.sim.Helper()
	came := false
	c.sim.await(func() bool {
		if len(c.inbox) > 0 {
			m, c.inbox, came = c.inbox[0], c.inbox[1:], true
		}
		return came || c.over
	})
	if !came {
		c.fail("want "+format+", and nothing came", args...)
	}
	return m
}

func (c *Client) expectBytes(want string) {
	c.sim.Helper()
	got := ""
	c.sim.await(func() bool {
		if len(c.inbox) == 0 {
			return c.over
		}
		all := c.inbox[0].Data
		got = all[:min(len(all), len(want))]
		if !strings.HasPrefix(want, got) || c.over {
			return true
		}
		return got == want
	})
	if got != want {
		c.fail("want %q, got %s", want, shown([]byte(got)))
	}
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	if want == "" {
		return
	}
	if c.inbox[0].Data = c.inbox[0].Data[len(want):]; c.inbox[0].Data == "" {
		c.inbox = nil
	}
}

// ExpectNothing waits until nothing moves, and for no message.
func (c *Client) ExpectNothing() {
	c.sim.Helper()
	c.sim.Wait()
	c.sim.mu.Lock()
	n := len(c.inbox)
	c.sim.mu.Unlock()
	if n > 0 {
		c.fail("want nothing, got %s", shown([]byte(c.next("").Data)))
	}
}

// Response waits, up to a minute, for the beginning of the server's response. There is no body to
// read: that is what the Expects are for.
func (c *Client) Response() *http.Response {
	c.sim.Helper()
	var resp *http.Response
	c.sim.awaitFor(patienceConnect, func() bool { resp = c.resp; return resp != nil || c.over })
	if resp == nil {
		c.fail("want a response, and none came")
	}
	return resp
}

// Channel waits for the client's channel to be open.
func (c *Client) Channel() *actors.Channel {
	c.sim.Helper()
	var channel *actors.Channel
	if !c.sim.await(func() bool { channel = c.channel; return channel != nil }) {
		c.fail("want a channel, and none was opened")
	}
	return channel
}

// ExpectClosed waits for the server's side of the channel to have ended with this
// cause. It does not ask what the client has heard of that.
func (c *Client) ExpectClosed(cause supervisor.Cause) supervisor.Closed {
	c.sim.Helper()
	var closed *supervisor.Closed
	if !c.sim.await(func() bool { closed = c.closed; return closed != nil }) {
		c.fail("want the channel closed by %v, and it is open", cause)
	}
	if closed.Cause != cause {
		c.fail("want the channel closed by %v, it was by %v", cause, closed.Cause)
	}
	return *closed
}

// ExpectClose waits for the server's close frame, with this code: 1005 if it has
// none. Messages before it must have been expected.
func (c *Client) ExpectClose(code uint16) (reason string) {
	c.sim.Helper()
	c.webSocket("ExpectClose")
	c.sim.await(func() bool { return c.goodbye != nil || c.over })
	c.sim.mu.Lock()
	goodbye, waiting := c.goodbye, len(c.inbox)
	c.sim.mu.Unlock()
	switch {
	case goodbye == nil:
		c.fail("want a close with %d, and none came", code)
	case goodbye.Code != code:
		c.fail("want a close with %d, got %d %q", code, goodbye.Code, goodbye.Reason)
	case waiting > 0:
		c.fail("want a close with %d, got %s before it", code, shown([]byte(c.next("").Data)))
	}
	return goodbye.Reason
}

// ExpectEnd waits for the end of the connection, or of a stream's response. The
// error is nil if that was in order: with a close frame before it, or of a response
// that is whole. Messages before it must have been expected.
func (c *Client) ExpectEnd() error {
	c.sim.Helper()
	if !c.sim.await(func() bool { return c.over }) {
		c.fail("want the end, and it did not come")
	}
	c.sim.mu.Lock()
	waiting, why := len(c.inbox), c.why
	c.sim.mu.Unlock()
	if waiting > 0 {
		c.fail("want the end, got %s before it", shown([]byte(c.next("").Data)))
	}
	return why
}

// Waiting is how many messages have come that were not asked for yet.
func (c *Client) Waiting() int {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	return len(c.inbox)
}
