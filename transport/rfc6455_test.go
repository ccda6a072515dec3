package transport_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func frame(op ws.OpCode, fin bool, payload string) []byte {
	return transporttest.Encode(ws.NewFrame(op, fin, []byte(payload)))
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// patched is a frame with one byte of its header changed.
func patched(b []byte, i int, change func(byte) byte) []byte {
	b = slices.Clone(b)
	b[i] = change(b[i])
	return b
}

const limit = 1000

var clauses = []struct {
	name  string
	bytes []byte
	want  []string
}{
	{
		name:  "§5.6 text and binary messages",
		bytes: join(frame(ws.OpText, true, "hé"), frame(ws.OpBinary, true, "\xff\x00")),
		want:  []string{`text "hé"`, `binary "\xff\x00"`, "end EOF"},
	},
	{
		name:  "§5.6 an empty message is a message",
		bytes: join(frame(ws.OpText, true, ""), frame(ws.OpBinary, true, "")),
		want:  []string{`text ""`, `binary ""`, "end EOF"},
	},
	{
		name:  "§5.4 fragments make one message",
		bytes: join(frame(ws.OpText, false, "a"), frame(ws.OpContinuation, false, ""), frame(ws.OpContinuation, true, "b")),
		want:  []string{`text "ab"`, "end EOF"},
	},
	{
		name:  "§5.4 a fragmented message may be empty",
		bytes: join(frame(ws.OpBinary, false, ""), frame(ws.OpContinuation, true, "")),
		want:  []string{`binary ""`, "end EOF"},
	},
	{
		name: "§5.4 control frames may stand between fragments",
		bytes: join(frame(ws.OpText, false, "a"), frame(ws.OpPing, true, "p"), frame(ws.OpContinuation, false, "b"),
			frame(ws.OpPong, true, "q"), frame(ws.OpContinuation, true, "c")),
		want: []string{`ping "p"`, `pong "q"`, `text "abc"`, "end EOF"},
	},
	{
		name:  "§5.4 a continuation needs a message",
		bytes: frame(ws.OpContinuation, true, "a"),
		want:  []string{"fault 1002"},
	},
	{
		name:  "§5.4 a message must end before the next begins",
		bytes: join(frame(ws.OpText, false, "a"), frame(ws.OpText, true, "b")),
		want:  []string{"fault 1002"},
	},
	{
		name:  "§5.4 no continuation after the last fragment",
		bytes: join(frame(ws.OpText, false, "a"), frame(ws.OpContinuation, true, "b"), frame(ws.OpContinuation, true, "c")),
		want:  []string{`text "ab"`, "fault 1002"},
	},
	{
		name:  "§5.5 a control frame has at most 125 bytes",
		bytes: join(frame(ws.OpPing, true, strings.Repeat("x", 125)), frame(ws.OpPing, true, strings.Repeat("x", 126))),
		want:  []string{fmt.Sprintf("ping %q", strings.Repeat("x", 125)), "fault 1002"},
	},
	{
		name:  "§5.5 a control frame is not fragmented",
		bytes: frame(ws.OpPing, false, "x"),
		want:  []string{"fault 1002"},
	},
	{
		name:  "§5.2 reserved opcode, data",
		bytes: frame(3, true, ""),
		want:  []string{"fault 1002"},
	},
	{
		name:  "§5.2 reserved opcode, control",
		bytes: frame(0xb, true, ""),
		want:  []string{"fault 1002"},
	},
	{
		name:  "§5.2 reserved bit 1 without an extension",
		bytes: patched(frame(ws.OpText, true, "a"), 0, func(b byte) byte { return b | 0x40 }),
		want:  []string{"fault 1002"},
	},
	{
		name:  "§5.2 reserved bit 3 on a control frame",
		bytes: patched(frame(ws.OpPing, true, "a"), 0, func(b byte) byte { return b | 0x10 }),
		want:  []string{"fault 1002"},
	},
	{
		name:  "§5.1 a client's frame is masked",
		bytes: []byte{0x81, 1, 'a'},
		want:  []string{"fault 1002"},
	},
	{
		name:  "§5.2 a 64-bit length has its highest bit clear",
		bytes: []byte{0x82, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4},
		want:  []string{"fault 1002"},
	},
	{
		name:  "§5.2 the shortest form of a length, 16 bits",
		bytes: []byte{0x82, 0x80 | 126, 0, 125, 1, 2, 3, 4},
		want:  []string{"fault 1002"},
	},
	{
		name:  "§5.2 the shortest form of a length, 64 bits",
		bytes: []byte{0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4},
		want:  []string{"fault 1002"},
	},
	{
		name:  "§5.2 a 16-bit length",
		bytes: frame(ws.OpBinary, true, strings.Repeat("y", 126)),
		want:  []string{fmt.Sprintf("binary %q", strings.Repeat("y", 126)), "end EOF"},
	},
	{
		name:  "§5.5.1 close with code and reason, then nothing counts",
		bytes: join(ws.MustCompileFrame(ws.MaskFrameWith(ws.NewCloseFrame(ws.NewCloseFrameBody(1001, "bye")), [4]byte{1, 2, 3, 4})), frame(ws.OpText, true, "late"), []byte{0xff, 0xff}),
		want:  []string{`close 1001 "bye"`, "end EOF"},
	},
	{
		name:  "§7.1.5 an empty close is 1005",
		bytes: frame(ws.OpClose, true, ""),
		want:  []string{`close 1005 ""`, "end EOF"},
	},
	{
		name:  "§5.5.1 a close inside a fragmented message",
		bytes: join(frame(ws.OpText, false, "a"), frame(ws.OpClose, true, "\x03\xe8")),
		want:  []string{`close 1000 ""`, "end EOF"},
	},
	{
		name:  "§5.5.1 a close payload of one byte",
		bytes: frame(ws.OpClose, true, "\x03"),
		want:  []string{"fault 1002"},
	},
	{
		name:  "§5.5.1 the reason is UTF-8",
		bytes: frame(ws.OpClose, true, "\x03\xe8\xff"),
		want:  []string{"fault 1007"},
	},
	{
		name:  "§8.1 invalid UTF-8",
		bytes: frame(ws.OpText, true, "a\xffb"),
		want:  []string{"fault 1007"},
	},
	{
		name:  "§8.1 a rune may be split over fragments",
		bytes: join(frame(ws.OpText, false, "\xe2\x82"), frame(ws.OpContinuation, true, "\xac")),
		want:  []string{`text "€"`, "end EOF"},
	},
	{
		name:  "§8.1 a text must not end inside a rune",
		bytes: join(frame(ws.OpText, false, "\xe2"), frame(ws.OpContinuation, true, "\x82")),
		want:  []string{"fault 1007"},
	},
	{
		name:  "§8.1 invalid UTF-8 fails before the message ends",
		bytes: frame(ws.OpText, false, "\xf4\x90"),
		want:  []string{"fault 1007"},
	},
	{
		name:  "§8.1 a binary message is not checked",
		bytes: join(frame(ws.OpBinary, false, "\xff"), frame(ws.OpContinuation, true, "\xfe")),
		want:  []string{`binary "\xff\xfe"`, "end EOF"},
	},
	{
		name:  "§10.4 exactly the limit",
		bytes: join(frame(ws.OpBinary, false, strings.Repeat("z", limit-1)), frame(ws.OpContinuation, true, "z")),
		want:  []string{fmt.Sprintf("binary %q", strings.Repeat("z", limit)), "end EOF"},
	},
	{
		name:  "§10.4 one byte more, known from the header",
		bytes: frame(ws.OpBinary, true, strings.Repeat("z", limit+1))[:8],
		want:  []string{"fault 1009"},
	},
	{
		name:  "§10.4 one byte more, over fragments",
		bytes: join(frame(ws.OpBinary, false, strings.Repeat("z", limit)), frame(ws.OpContinuation, true, "z")),
		want:  []string{"fault 1009"},
	},
	{
		name:  "§10.4 a declared length of 2^62 takes no memory",
		bytes: []byte{0x82, 0x80 | 127, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 'x'},
		want:  []string{"fault 1009"},
	},
}

func TestRFC6455(t *testing.T) {
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) {
			eachDriver(t, transport.Config{MaxMessageBytes: limit}, func(t *testing.T, o *owner, p *transporttest.Peer) {
				check(t, o, p, c.want, func() { p.WriteRaw(c.bytes) })
			})
		})
		t.Run(c.name+", byte by byte", func(t *testing.T) {
			eachDriver(t, transport.Config{MaxMessageBytes: limit}, func(t *testing.T, o *owner, p *transporttest.Peer) {
				check(t, o, p, c.want, func() {
					for i := range c.bytes {
						p.WriteRaw(c.bytes[i : i+1])
					}
				})
			})
		})
	}
}

// check writes, ends the client's direction and compares all events.
func check(t *testing.T, o *owner, p *transporttest.Peer, want []string, write func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		write()
		p.CloseWrite()
	}()
	var got []string
	for {
		in := o.next()
		got = append(got, describe(in))
		if in.Kind == transport.KindEnd {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("events:\n got %q\nwant %q", got, want)
	}
	if in, ok := o.link.Next(); ok {
		t.Errorf("after the end: %v", describe(in))
	}
	// A breach leaves input unread; draining it ends with the connection.
	if o.link.Discard(); strings.HasPrefix(got[len(got)-1], "fault") {
		if in := o.next(); in.Kind != transport.KindEnd || in.Err != io.EOF {
			t.Errorf("drained: %v", describe(in))
		}
	}
	<-done
	if !transport.Idle(o.link) {
		t.Error("the link holds a buffer")
	}
}

func TestRFC6455_7_4_CloseCodes(t *testing.T) {
	valid := func(c int) bool {
		return c >= 1000 && c <= 1003 || c >= 1007 && c <= 1014 || c >= 3000 && c <= 4999
	}
	for _, code := range []int{0, 1, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1013, 1014, 1015, 1016, 2999, 3000, 4999, 5000, 65535} {
		l, p := transporttest.Pair(&transport.Config{}, 0)
		o := own(t, l)
		p.WriteRaw(frame(ws.OpClose, true, string([]byte{byte(code >> 8), byte(code)})))
		want := "fault 1002"
		if valid(code) {
			want = fmt.Sprintf(`close %d ""`, code)
		}
		if got := describe(o.next()); got != want {
			t.Errorf("code %d: got %s, want %s", code, got, want)
		}
		l.Release()
	}
}
