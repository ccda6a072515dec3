package conformance

import (
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/supervisor"
)

// goodbyes are the orders in which the two sides may say goodbye.
var goodbyes = []struct {
	name string
	play func(c *client)

	code   uint16 // of the server's close frame; 0: there is none
	reason string
	first  bool // it comes before the client's
	cause  supervisor.Cause
	heard  uint16 // the code that the handler hears
}{
	{
		name: "§5.5.1 the client's code and reason come back",
		play: func(c *client) { c.close(1001, "going") },
		code: 1001, reason: "going",
		cause: supervisor.CausePeerClosed,
		heard: 1001,
	},
	{
		name:  "§5.5.1 an empty close frame is answered by an empty one",
		play:  func(c *client) { c.said = true; c.send(whole(opClose, "")) },
		code:  1005,
		cause: supervisor.CausePeerClosed,
		heard: 1005,
	},
	{
		name: "§5.5.1 with a reason as long as may be",
		play: func(c *client) { c.close(3000, strings.Repeat("ü", 61)+"!") },
		code: 3000, reason: strings.Repeat("ü", 61) + "!",
		cause: supervisor.CausePeerClosed,
		heard: 3000,
	},
	{
		name: "§7.1.2 the server begins, the client answers",
		play: func(c *client) { c.send(whole(opText, "leave")) },
		code: 4000, reason: "as you wish", first: true,
		cause: supervisor.CauseLocalClosed,
		heard: 4000,
	},
	{
		name: "§7.1.2 the server begins, the client answers with a code of its own",
		play: func(c *client) {
			c.send(whole(opText, "leave"))
			c.said = true
			c.goodbye()
			c.send(farewell(1001, ""))
		},
		code: 4000, reason: "as you wish",
		cause: supervisor.CauseLocalClosed,
		heard: 4000,
	},
	{
		name: "§5.5.1 the server begins, the client says something before it answers",
		play: func(c *client) {
			c.send(whole(opText, "leave"))
			c.said = true
			c.goodbye()
			c.send(whole(opText, "wait"), whole(opPing, ""), part(opBinary, "a"), farewell(4000, ""))
		},
		code: 4000, reason: "as you wish",
		cause: supervisor.CauseLocalClosed,
		heard: 4000,
	},
	{
		name: "§7.1.2 the server begins, the client answers within a fragmented message",
		play: func(c *client) {
			c.send(part(opText, "half"), whole(opPing, "p"))
			c.await(1)
			c.heard = nil
			c.send(masked(bitFin, " and half"), whole(opText, "leave"), part(opText, "half"))
		},
		code: 4000, reason: "as you wish", first: true,
		cause: supervisor.CauseLocalClosed,
		heard: 4000,
	},
	{
		name: "§7.1.3 both at once",
		play: func(c *client) {
			c.said = true
			c.send(whole(opText, "leave"), farewell(1000, "me too"))
		},
		code: 4000, reason: "as you wish",
		cause: supervisor.CauseLocalClosed,
		heard: 4000,
	},
	{
		name:  "§5.5.1 within a fragmented message",
		play:  func(c *client) { c.send(part(opText, "a"), part(opContinuation, "b")); c.close(1000, "") },
		code:  1000,
		cause: supervisor.CausePeerClosed,
		heard: 1000,
	},
	{
		name:  "§5.5.1 in one piece with a message",
		play:  func(c *client) { c.said = true; c.send(join(whole(opText, "a"), farewell(1000, ""))) },
		code:  1000,
		cause: supervisor.CausePeerClosed,
		heard: 1000,
	},
	{
		name: "§5.5.1 byte by byte",
		play: func(c *client) { c.said = true; c.chopped(1, farewell(4999, "slow")) },
		code: 4999, reason: "slow",
		cause: supervisor.CausePeerClosed,
		heard: 4999,
	},
	{
		name: "§1.4 data behind a close frame does not count, however wrong it is",
		play: func(c *client) {
			c.close(1000, "")
			c.send(whole(opText, "late"), masked(bitFin|bitRsv3|opText, "\xff"), []byte("\xff\xff\xff\xff"), farewell(1, ""))
		},
		code:  1000,
		cause: supervisor.CausePeerClosed,
		heard: 1000,
	},
	{
		name: "§7.1.1 the client closes its half right behind its close frame",
		play: func(c *client) {
			c.close(1000, "")
			c.halfClose()
		},
		code:  1000,
		cause: supervisor.CausePeerClosed,
		heard: 1000,
	},
	{
		name:  "§7.1.5 no close frame",
		play:  func(c *client) { c.halfClose() },
		cause: supervisor.CauseConnectionLost,
		heard: 1006,
	},
	{
		name:  "§7.1.5 no close frame, within a frame",
		play:  func(c *client) { c.send(whole(opText, "hello")[:9]); c.halfClose() },
		cause: supervisor.CauseConnectionLost,
		heard: 1006,
	},
	{
		name:  "§7.1.5 no close frame, behind half of one",
		play:  func(c *client) { c.send(farewell(1000, "bye")[:7]); c.halfClose() },
		cause: supervisor.CauseConnectionLost,
		heard: 1006,
	},
}

// halfClose ends the client's direction.
func (c *client) halfClose() {
	if err := c.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.t.Error(err)
	}
}

// TestRFC6455_7_1_Goodbyes: the close handshake, in every order.
func TestRFC6455_7_1_Goodbyes(t *testing.T) {
	everywhere(t, func(t *testing.T, s *server) {
		for _, g := range goodbyes {
			t.Run(g.name, func(t *testing.T) {
				c := s.dial(t, "/", "")
				g.play(c)
				c.finish()
				if g.code == 0 {
					if c.closed || c.err != nil {
						t.Errorf("closed %t with %d, %v: want no more than an end", c.closed, c.code, c.err)
					}
				} else if err := c.orderly(); err != nil || c.code != g.code || c.reason != g.reason || c.first != g.first {
					t.Errorf("closed with %d %q, by the server first %t, %v: want %d %q, %t", c.code, c.reason, c.first, err, g.code, g.reason, g.first)
				}
				if e := s.end(t); e.Cause != g.cause || e.Code != g.heard {
					t.Errorf("the handler hears %v, %d: want %v, %d", e.Cause, e.Code, g.cause, g.heard)
				}
			})
		}
	})
}

// TestRFC6455_7_4_CloseCodes: each code there is, from the client. What RFC 6455 and
// the registry define, 1012 to 1014 among it, and what they leave free comes back.
func TestRFC6455_7_4_CloseCodes(t *testing.T) {
	step := 37 // coprime to the borders, which are added
	if extent != "" {
		step = 1
	}
	var codes []int
	for code := 0; code <= 0xffff; code++ {
		border := false
		for _, b := range []int{0, 999, 1000, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 1016, 2999, 3000, 3999, 4000, 4999, 5000, 0xffff} {
			border = border || code == b
		}
		if border || code < 5100 && code%step == 0 {
			codes = append(codes, code)
		}
	}
	everywhere(t, func(t *testing.T, s *server) {
		for _, code := range codes {
			c := s.dial(t, "/", "", farewell(uint16(code), "why"))
			c.said = true
			c.finish()
			want, cause := uint16(1002), supervisor.CauseProtocolError
			if code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999 {
				want, cause = uint16(code), supervisor.CausePeerClosed
			}
			if err := c.orderly(); err != nil || c.code != want {
				t.Errorf("code %d: answered with %d, %v: want %d", code, c.code, err, want)
			}
			if e := s.end(t); e.Cause != cause {
				t.Errorf("code %d: the handler hears %v", code, e.Cause)
			}
		}
	})
}

// TestRFC6455_7_1_1_TheServerClosesFirst: behind both close frames the server ends
// its direction without waiting for the client to do so.
func TestRFC6455_7_1_1_TheServerClosesFirst(t *testing.T) {
	everywhere(t, func(t *testing.T, s *server) {
		for _, first := range []string{"client", "server"} {
			c := s.dial(t, "/", "")
			if first == "client" {
				c.close(1000, "")
			} else {
				c.send(whole(opText, "leave"))
			}
			for ok := true; ok; _, ok = c.next() { // up to the end of input: the client has closed nothing
			}
			if err := c.orderly(); err != nil {
				t.Errorf("%s first: %v", first, err)
			}
			if e := s.end(t); e.Cause == supervisor.CauseConnectionLost {
				t.Errorf("%s first: %v", first, e.Cause)
			}
		}
	})
}
