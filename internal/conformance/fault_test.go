package conformance

import (
	"bytes"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/supervisor"
)

// faults are what a client must not send, by the clause that says so, and the code
// that RFC 6455 §7.4.1 has for it.
var faults = []struct {
	name  string
	bytes []byte
	code  uint16
}{
	{"§5.1 a text that is not masked", bare(bitFin|opText, "hello"), 1002},
	{"§5.1 a ping that is not masked", bare(bitFin|opPing, ""), 1002},
	{"§5.1 a close that is not masked", bare(bitFin|opClose, "\x03\xe8"), 1002},
	{"§5.2 RSV1", masked(bitFin|bitRsv1|opText, "a"), 1002},
	{"§5.2 RSV2", masked(bitFin|bitRsv2|opText, "a"), 1002},
	{"§5.2 RSV3", masked(bitFin|bitRsv3|opBinary, "a"), 1002},
	{"§5.2 RSV1 on a ping", masked(bitFin|bitRsv1|opPing, ""), 1002},
	{"§5.2 RSV2 on a continuation", join(part(opText, "a"), masked(bitFin|bitRsv2, "b")), 1002},
	{"§5.2 opcode 3", whole(3, ""), 1002},
	{"§5.2 opcode 7, inside a message", join(part(opText, "a"), whole(7, "b")), 1002},
	{"§5.2 opcode 11", whole(11, ""), 1002},
	{"§5.2 opcode 15", whole(15, "x"), 1002},
	{"§5.2 a 16-bit length of 0", header(bitFin|opText, 2, 0), 1002},
	{"§5.2 a 16-bit length of 125", withPayload(header(bitFin|opText, 2, 125), strings.Repeat("a", 125)), 1002},
	{"§5.2 a 64-bit length of 0", header(bitFin|opText, 8, 0), 1002},
	{"§5.2 a 64-bit length of 125", withPayload(header(bitFin|opText, 8, 125), strings.Repeat("a", 125)), 1002},
	{"§5.2 a 64-bit length of 65535", header(bitFin|opBinary, 8, 65535), 1002},
	{"§5.2 a 64-bit length with its highest bit", header(bitFin|opBinary, 8, 1<<63), 1002},
	{"§5.2 a 64-bit length of all ones", header(bitFin|opBinary, 8, 1<<64-1), 1002},
	{"§5.4 a continuation of nothing", masked(bitFin|opContinuation, "a"), 1002},
	{"§5.4 a continuation of nothing, not the last", masked(opContinuation, "a"), 1002},
	{"§5.4 a continuation behind the last", join(part(opText, "a"), masked(bitFin, "b"), masked(bitFin, "c")), 1002},
	{"§5.4 a text inside a text", join(part(opText, "a"), whole(opText, "b")), 1002},
	{"§5.4 a binary inside a text", join(part(opText, "a"), part(opBinary, "b")), 1002},
	{"§5.5 a ping of 126 bytes", whole(opPing, strings.Repeat("a", 126)), 1002},
	{"§5.5 a pong of 64 KiB", whole(opPong, strings.Repeat("a", 1<<16)), 1002},
	{"§5.5 a close of 126 bytes", farewell(1000, strings.Repeat("a", 124)), 1002},
	{"§5.5 a control frame with a long form of length", withPayload(header(bitFin|opPing, 2, 5), "hello"), 1002},
	{"§5.5 a fragmented ping", join(part(opPing, "a"), masked(bitFin, "b")), 1002},
	{"§5.5 a fragmented close", join(part(opClose, "\x03\xe8"), masked(bitFin, "b")), 1002},
	{"§5.5 a fragmented pong inside a message", join(part(opText, "a"), part(opPong, "b")), 1002},
	{"§5.5.1 a close of one byte", whole(opClose, "\x03"), 1002},
	{"§5.5.1 a reason that is no UTF-8", farewell(1000, "a\xff"), 1007},
	{"§5.5.1 a reason that ends within a character", farewell(1000, "\xe2\x82"), 1007},
	{"§7.4.1 code 1005", farewell(1005, ""), 1002},
	{"§7.4.1 code 1006", farewell(1006, ""), 1002},
	{"§7.4.1 code 1015", farewell(1015, ""), 1002},
	{"§7.4.2 code 999", farewell(999, ""), 1002},
	{"§7.4.2 code 5000", farewell(5000, ""), 1002},
	{"§8.1 a text that is no UTF-8", whole(opText, "a\xffb"), 1007},
	{"§8.1 a text that ends within a character", whole(opText, "\xe2\x82"), 1007},
	{"§8.1 an overlong form", whole(opText, "\xc0\x80"), 1007},
	{"§8.1 half of a surrogate pair", whole(opText, "\xed\xa0\x80"), 1007},
	{"§8.1 beyond U+10FFFF", whole(opText, "\xf4\x90\x80\x80"), 1007},
	{"§8.1 in the second fragment, which is not the last", join(part(opText, "\xe2\x82"), part(opContinuation, "a")), 1007},
	{"§8.1 the last fragment ends within a character", join(part(opText, "\xe2"), masked(bitFin, "\x82")), 1007},
	{"§10.4 a frame of a byte too much, by its header", header(bitFin|opBinary, 8, maxMessage+1), 1009},
	{"§10.4 a frame of 2^62 bytes", header(opText, 8, 1<<62), 1009},
	{"§10.4 a frame of 2^63-1 bytes, within a message", join(part(opText, "a"), header(bitFin, 8, 1<<63-1)), 1009},
	{"§10.4 a fragment of a byte too much", join(part(opBinary, "a"), header(bitFin, 8, maxMessage)), 1009},
}

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// causes are what the handler hears of a fault, by the code that its peer hears.
var causes = map[uint16]supervisor.Cause{
	1002: supervisor.CauseProtocolError,
	1007: supervisor.CauseInvalidPayload,
	1009: supervisor.CauseMessageTooBig,
}

// failed checks that a client's fault was answered with a close frame, that the
// connection ended in order, and that the handler has heard the same.
func (c *client) failed(s *server, code uint16) {
	c.t.Helper()
	c.finish()
	if err := c.orderly(); err != nil {
		c.t.Error(err)
	} else if c.code != code || !c.first {
		c.t.Errorf("closed with %d %q by the server first %t, want %d", c.code, c.reason, c.first, code)
	}
	if e := s.end(c.t); e.Cause != causes[code] || e.Code != code {
		c.t.Errorf("the handler hears %v, %d", e.Cause, e.Code)
	}
}

// TestRFC6455_7_1_7_EveryFaultIsAnswered: a client that breaks a rule gets a close
// frame with the right code, and behind it an end in order: however the bytes
// arrive, also together with the handshake, and after a message that is answered.
func TestRFC6455_7_1_7_EveryFaultIsAnswered(t *testing.T) {
	everywhere(t, func(t *testing.T, s *server) {
		for _, f := range faults {
			t.Run(f.name, func(t *testing.T) {
				t.Run("at once", func(t *testing.T) {
					c := s.dial(t, "/", "")
					c.send(f.bytes)
					c.failed(s, f.code)
				})
				t.Run("byte by byte", func(t *testing.T) {
					c := s.dial(t, "/", "")
					c.chopped(1, f.bytes[:min(len(f.bytes), 200)])
					c.send(f.bytes[min(len(f.bytes), 200):])
					c.failed(s, f.code)
				})
				t.Run("with the handshake, behind a message", func(t *testing.T) {
					c := s.dial(t, "/", "", whole(opText, "first"), f.bytes)
					c.failed(s, f.code)
					if len(c.heard) == 0 || c.heard[0].data != "first" {
						t.Errorf("heard %v: what came before the fault is owed its answer", c.heard)
					}
				})
			})
		}
	})
}

// TestRFC6455_7_1_1_TheCloseFrameSurvivesAFlood: a client that goes on sending finds
// the close frame all the same. A connection that is closed while input is unread is
// reset, and the reset would take what the client has not read yet along.
func TestRFC6455_7_1_1_TheCloseFrameSurvivesAFlood(t *testing.T) {
	flood := join(bytes.Repeat(whole(opBinary, strings.Repeat("z", 60<<10)), 200)) // more than a kernel holds
	everywhere(t, func(t *testing.T, s *server) {
		for _, f := range []struct {
			name  string
			bytes []byte
			code  uint16
		}{
			{"a reserved bit", masked(bitFin|bitRsv2|opText, "a"), 1002},
			{"no UTF-8", whole(opText, "\xff"), 1007},
			{"too big, and it comes", header(bitFin|opBinary, 8, maxMessage+1), 1009},
			{"no frames at all", []byte("GET / HTTP/1.1\r\n\r\n"), 1002},
		} {
			t.Run(f.name, func(t *testing.T) {
				c := s.dial(t, "/", "")
				c.send(f.bytes, flood)
				c.failed(s, f.code)
			})
		}
		t.Run("behind the client's own close frame", func(t *testing.T) {
			c := s.dial(t, "/", "")
			c.said = true
			c.send(farewell(1000, ""), flood)
			c.finish()
			if err := c.orderly(); err != nil || c.code != 1000 {
				t.Errorf("%d: %v", c.code, err)
			}
			if e := s.end(t); e.Cause != supervisor.CausePeerClosed || e.Code != 1000 {
				t.Errorf("the handler hears %v, %d", e.Cause, e.Code)
			}
		})
		t.Run("that was under way when the server closed", func(t *testing.T) {
			c := s.dial(t, "/", "")
			c.send(whole(opText, "leave"), flood)
			c.finish()
			if err := c.orderly(); err != nil || c.code != 4000 {
				t.Errorf("%d: %v", c.code, err)
			}
			if e := s.end(t); e.Cause != supervisor.CauseLocalClosed || e.Code != 4000 {
				t.Errorf("the handler hears %v, %d", e.Cause, e.Code)
			}
		})
	})
}
