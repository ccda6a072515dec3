package transport

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// seen is all that any link can see of a packet.
type seen struct {
	data, event string
	op          Opcode
	form        form
	part        part
	plain       bool
	size        int
}

func look(p *Packet) seen {
	return seen{string(p.data), string(p.eventLines()), p.op, p.form, p.part, p.plain, p.size}
}

func TestPacketGoesToAnotherProcess(t *testing.T) {
	event := func(e SSE) *Packet {
		p, err := NewEvent(e)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ping, _ := NewPing([]byte("are you there"))
	pong, _ := NewPong(nil)
	onStream := NewPacket(Text, []byte("one\ntwo"))
	onStream.eventLines()
	packets := []*Packet{
		NewPacket(Text, nil), NewPacket(Text, []byte("Grüße")), NewPacket(Binary, []byte{0, 0xff}), ping, pong, onStream,
		NewPacket(Text, []byte("secret")).Uncompressed(),
		event(SSE{Event: "tick", ID: "7", Retry: 1500*time.Millisecond + 1, Data: []byte("a\r\nb\rdata: c\n\n")}),
		event(SSE{Event: "e"}), event(SSE{ID: " :"}), event(SSE{Retry: 1}), event(SSE{Retry: math.MaxInt64}),
		event(SSE{Event: "id: retry: 5", ID: "event: "}), event(SSE{Event: "x", Data: []byte("event: y\n")}).Uncompressed(),
	}
	for _, p := range packets {
		b, err := p.AppendBinary([]byte("before"))
		if err != nil {
			t.Errorf("%+v: %v", look(p), err)
			continue
		}
		if overhead := len(b) - len("before") - len(p.data); len(p.eventFields()) == 0 && overhead != 1 {
			t.Errorf("%+v takes %d bytes more", look(p), overhead)
		}
		got, err := ParsePacket(b[len("before"):])
		if err != nil || look(got) != look(p) {
			t.Errorf("%+v became %+v: %v", look(p), look(got), err)
		}
	}
	for _, p := range []*Packet{
		NewFragment(Text, nil, true, false), NewFragment(Binary, nil, false, true), NewFragment(Text, nil, false, false),
		newDeflated(Text, nil), {form: formClose, part: partWhole}, {form: formRaw, part: partWhole},
	} {
		if b, err := p.AppendBinary([]byte("before")); err != ErrFragment || string(b) != "before" {
			t.Errorf("%+v: %q, %v", p.part, b, err)
		}
	}
	if b, err := NewPacket(Text, []byte("\xff")).AppendBinary([]byte("before")); !errors.Is(err, ErrPacket) || string(b) != "before" {
		t.Errorf("text that is not UTF-8: %q, %v", b, err)
	}
}

func TestWhatIsNoPacket(t *testing.T) {
	fields := func(s string) string { return string([]byte{codeEvent, byte(len(s))}) + s + "data" }
	for _, b := range []string{
		"", "\x10", "\xff", "\x09x", "\x0ax", "\x0bx", "\x00\xff",
		"\x02" + strings.Repeat("p", 126), "\x03" + strings.Repeat("p", 126),
		"\x08", "\x08\x00", "\x08\x05a", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
		fields("event: a"), fields("event: \n"), fields("event: a\revent: b\n"), fields("id: a\x00\n"), fields("data: a\n"), fields("event: a\n\n"),
		fields("id: 1\nevent: a\n"), fields("event: a\nevent: b\n"), fields("event: \xff\n"),
		fields("retry: 0\n"), fields("retry: -1\n"), fields("retry: x\n"), fields("retry: 9223372036856\n"),
	} {
		if p, err := ParsePacket([]byte(b)); !errors.Is(err, ErrPacket) || p != nil {
			t.Errorf("%q: %v, %v", b, p, err)
		}
	}
}

func FuzzPacket(f *testing.F) {
	e, _ := NewEvent(SSE{Event: "tick", ID: "7", Retry: time.Second, Data: []byte("a\nb")})
	for _, p := range []*Packet{NewPacket(Text, []byte("text")), NewPacket(Binary, []byte{1}), e, e.Uncompressed()} {
		b, _ := p.AppendBinary(nil)
		f.Add(b)
	}
	f.Add([]byte("\x02ping"))
	f.Add([]byte("\x08\x0bretry: 017\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePacket(bytes.Clone(b))
		if err != nil {
			if !errors.Is(err, ErrPacket) || p != nil {
				t.Fatalf("%v, %v", p, err)
			}
			return
		}
		again, err := p.AppendBinary(nil)
		if err != nil || len(again) > len(b) {
			t.Fatalf("%q became %q: %v", b, again, err)
		}
		if back, err := ParsePacket(again); err != nil || look(back) != look(p) {
			t.Fatalf("%+v became %+v: %v", look(p), look(back), err)
		}
	})
}
