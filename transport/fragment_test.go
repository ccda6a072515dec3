package transport_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// fragments cuts a text into the parts of one message.
func fragments(parts ...string) []*transport.Packet {
	var out []*transport.Packet
	for i, s := range parts {
		out = append(out, transport.NewFragment(transport.Text, []byte(s), i == 0, i == len(parts)-1))
	}
	return out
}

func TestFragments(t *testing.T) {
	for _, c := range []struct {
		name   string
		parts  []string
		stream string
		events string
	}{
		{name: "one", parts: []string{"a"}, stream: "a", events: "data: a\n\n"},
		{name: "three", parts: []string{"a", "b", "c"}, stream: "abc", events: "data: abc\n\n"},
		{name: "empty ones", parts: []string{"", "", "a", ""}, stream: "a", events: "data: a\n\n"},
		{name: "nothing at all", parts: []string{"", ""}, events: "data: \n\n"},
		{
			name:   "line ends",
			parts:  []string{"a\nb", "\nc\r\n", "d\re"},
			stream: "a\nb\nc\r\nd\re",
			events: "data: a\ndata: b\ndata: c\ndata: d\ndata: e\n\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sent(t, transport.FramingStream, fragments(c.parts...)...); got != c.stream {
				t.Errorf("stream %q", got)
			}
			if got := sent(t, transport.FramingSSE, fragments(c.parts...)...); got != c.events {
				t.Errorf("events %q", got)
			}
			if whole := sent(t, transport.FramingSSE, transport.NewPacket(transport.Text, []byte(strings.Join(c.parts, "")))); whole != c.events {
				t.Errorf("the same in one: %q", whole)
			}
		})
	}
	if got := sent(t, transport.FramingSSE, append(fragments("a", "b")[:1], control(t, transport.NewPing, ""), fragments("a", "b")[1],
		control(t, transport.NewPing, ""))...); got != "data: ab\n\n:\n\n" {
		t.Errorf("a ping inside an event: %q", got)
	}
	l, _ := (&transport.Config{}).MemoryStream(transport.FramingSSE, 0)
	defer l.Release()
	if err := l.Queue(transport.NewFragment(transport.Binary, nil, true, false)); !errors.Is(err, transport.ErrUnsupported) {
		t.Error(err)
	}
}

// TestRFC6455_5_4_FragmentsWeSend: the first has the opcode, the last has FIN, and
// control frames may stand between.
func TestRFC6455_5_4_FragmentsWeSend(t *testing.T) {
	eachDriver(t, transport.Config{}, func(t *testing.T, o *owner, p *transporttest.Peer) {
		for i, f := range fragments("a", "", strings.Repeat("b", 70_000)) {
			if i == 1 {
				if err := o.link.Queue(control(t, transport.NewPing, "?")); err != nil {
					t.Error(err)
				}
			}
			if err := o.link.Queue(f); err != nil {
				t.Fatal(err)
			}
		}
		o.send(transport.Binary, "whole")
		done := make(chan struct{})
		go func() { defer close(done); o.flush() }()
		for _, want := range []struct {
			op     ws.OpCode
			fin    bool
			length int64
		}{{ws.OpText, false, 1}, {ws.OpPing, true, 1}, {ws.OpContinuation, false, 0}, {ws.OpContinuation, true, 70_000}, {ws.OpBinary, true, 5}} {
			f, err := p.ReadFrame(within(t))
			if err != nil || f.Header.OpCode != want.op || f.Header.Fin != want.fin || f.Header.Length != want.length {
				t.Fatalf("%+v %v, want %+v", f.Header, err, want)
			}
		}
		<-done
	})
}

// TestBytesAreFreeOnceTaken: whoever reuses a packet's bytes when they count as
// taken changes nothing that arrives.
func TestBytesAreFreeOnceTaken(t *testing.T) {
	eachDriver(t, transport.Config{}, func(t *testing.T, o *owner, p *transporttest.Peer) {
		const n, size = 50, 40_000
		done := make(chan struct{})
		ctx := within(t)
		go func() {
			defer close(done)
			for i := range n {
				if _, b, err := p.ReadMessage(ctx); err != nil || string(b) != strings.Repeat(string(rune('A'+i)), size) {
					t.Errorf("message %d: %.10q %v", i, b, err)
					return
				}
			}
		}()
		data := make([]byte, size)
		for i := range n {
			for k := range data {
				data[k] = byte('A' + i)
			}
			if err := o.link.Queue(transport.NewPacket(transport.Binary, data)); err != nil {
				t.Fatal(err)
			}
			o.flush()
			if o.link.Taken() != o.link.Queued() {
				t.Fatal(o.link.Taken(), o.link.Queued())
			}
		}
		<-done
	})
}

func TestTextHasALimitOfItsOwn(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"text", frame(ws.OpText, true, "12345"), `text "12345"`},
		{"too much text", frame(ws.OpText, true, "123456"), "fault 1009"},
		{"too much text in fragments", join(frame(ws.OpText, false, "123"), frame(ws.OpContinuation, true, "456")), "fault 1009"},
		{"binary", frame(ws.OpBinary, true, "123456789"), `binary "123456789"`},
		{"binary in fragments", join(frame(ws.OpBinary, false, "123"), frame(ws.OpContinuation, true, "456")), `binary "123456"`},
		{"too much binary", frame(ws.OpBinary, true, "1234567890"), "fault 1009"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachDriver(t, transport.Config{MaxMessageBytes: 9, MaxTextBytes: 5}, func(t *testing.T, o *owner, p *transporttest.Peer) {
				p.WriteRaw(c.bytes)
				if got := describe(o.next()); got != c.want {
					t.Error(got)
				}
			})
		})
	}
}

func TestFramesHaveALimitOfTheirOwn(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes []byte
		want  []string
	}{
		{"whole", frame(ws.OpText, true, "12345"), []string{`text "12345"`, "end EOF"}},
		{"too long", frame(ws.OpText, true, "123456"), []string{"fault 1009"}},
		{"too long, known from the header", frame(ws.OpText, true, "123456")[:6], []string{"fault 1009"}},
		{
			"in fragments", join(frame(ws.OpBinary, false, "12345"), frame(ws.OpContinuation, true, "6789")),
			[]string{`binary "123456789"`, "end EOF"},
		},
		{
			"a fragment too long", join(frame(ws.OpBinary, false, "1"), frame(ws.OpContinuation, true, "234567")),
			[]string{"fault 1009"},
		},
		{
			"the message too long", join(frame(ws.OpBinary, false, "12345"), frame(ws.OpContinuation, true, "67890")),
			[]string{"fault 1009"},
		},
		{"control frames have theirs", frame(ws.OpPing, true, "123456"), []string{`ping "123456"`, "end EOF"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachDriver(t, transport.Config{MaxMessageBytes: 9, MaxFrameBytes: 5}, func(t *testing.T, o *owner, p *transporttest.Peer) {
				check(t, o, p, c.want, func() { p.WriteRaw(c.bytes) })
			})
		})
	}
}

// What a link holds of an incomplete message is what it has asked the budget for.
func TestHeldIsWhatIsReserved(t *testing.T) {
	reserved := 0
	cfg := transport.Config{Reserve: func(n int) bool { reserved += n; return true }}
	eachDriver(t, cfg, func(t *testing.T, o *owner, p *transporttest.Peer) {
		if o.link.Held() != 0 {
			t.Error("a new link holds something")
		}
		written := make(chan struct{})
		go func() { // the pipe holds less
			defer close(written)
			p.WriteRaw(join(frame(ws.OpBinary, false, strings.Repeat("x", 20_000)), frame(ws.OpPing, true, "")))
		}()
		if in := o.next(); in.Kind != transport.KindPing || reserved < 20_000 || o.link.Held() != reserved {
			t.Errorf("%v, %d bytes are held, %d reserved", in.Kind, o.link.Held(), reserved)
		}
		<-written
		p.WriteRaw(frame(ws.OpContinuation, true, ""))
		if in := o.next(); in.Kind != transport.KindMessage || o.link.Held() != 0 || reserved != 0 {
			t.Errorf("%v, %d bytes are held, %d reserved", in.Kind, o.link.Held(), reserved)
		}
	})
}

// TestSmallFragmentsCostNoCopyEach: what a message costs grows with its size, not
// with its size times the number of its fragments.
func TestSmallFragmentsCostNoCopyEach(t *testing.T) {
	const size = 100_000
	reserved, asked := 0, 0
	cfg := transport.Config{MaxMessageBytes: size, Reserve: func(n int) bool {
		if reserved += n; n > 0 {
			asked++
		}
		if reserved > size {
			t.Fatalf("%d bytes are held for a message of %d", reserved, size)
		}
		return true
	}}
	l, p := transporttest.Pair(&cfg, 8<<10)
	o := own(t, l)
	defer l.Release()
	go func() {
		for i := range size {
			op := ws.OpContinuation
			if i == 0 {
				op = ws.OpBinary
			}
			if p.WriteFrame(ws.NewFrame(op, i == size-1, []byte{byte(i)})) != nil {
				return // the owner fails
			}
		}
	}()
	if in := o.next(); in.Kind != transport.KindMessage || len(in.Data) != size || in.Data[257] != 1 {
		t.Errorf("%v, %d bytes", in.Kind, len(in.Data))
	}
	if asked > 30 || reserved != 0 {
		t.Errorf("memory was taken %d times; %d bytes are left reserved", asked, reserved)
	}
}
