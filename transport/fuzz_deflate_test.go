package transport_test

import (
	"bufio"
	"bytes"
	stdflate "compress/flate"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/klauspost/compress/flate"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// FuzzDeflate sends messages both ways under any agreement. Three decompressors read
// what a link says: the test client's, which knows the window that was agreed on, the
// standard library's and that of klauspost. A link reads what a client says, in any
// pieces. A packet is shared by links that agreed on something else.
func FuzzDeflate(f *testing.F) {
	f.Add([]byte("\x00\x05\x00abcd\x06\x00\x05\x09xy"), []byte{9}, uint8(0), uint8(1), uint8(1))
	f.Add([]byte("\x00\x04\x02\x01\x00\x03\x02\x01\x04\x02\x02\x01"), []byte{}, uint8(0), uint8(3), uint8(1))
	f.Add([]byte("\x0b\x02\x01\x0b\x03\x01\x0b\x02\x01"), []byte{200, 1}, uint8(0xff), uint8(0), uint8(9))
	f.Add([]byte("\x0c\x02\x02\x01\x0d\x04\x03z\x0d\x03\x03z\x01\x02\x01"), []byte{}, uint8(0x1a), uint8(0xb7), uint8(6))
	f.Fuzz(func(t *testing.T, script, splits []byte, agreed, other, level uint8) {
		if len(script) > 200 || len(splits) > 64 {
			return
		}
		d := &dice{script}
		var messages [][]byte
		for total := 0; d.more() && total < 100_000; {
			m := d.payload(d.size(126, 512, 5000, 33_000, 65_536))
			if len(messages) > 0 && d.odds(3) { // one like an earlier one
				m = append(bytes.Clone(messages[d.n(len(messages))]), m...)
			}
			messages = append(messages, m)
			total += len(m)
		}
		var packets []*transport.Packet
		for _, m := range messages {
			packets = append(packets, transport.NewPacket(transport.Binary, m))
		}
		for _, a := range []uint8{agreed, other} {
			cfg := &transport.Config{MaxMessageBytes: 1 << 20, Deflate: &transport.Deflate{
				Level: int(level % 10), MinBytes: 1 + int(level/10), ServerTakeover: a&1 != 0, ClientTakeover: a&2 != 0,
			}}
			offer := deflate
			if bits := a >> 2 & 7; bits < 7 {
				offer += fmt.Sprintf("; server_max_window_bits=%d", 8+bits)
			}
			offer += []string{"", "; client_max_window_bits", "; client_max_window_bits=9", "; server_no_context_takeover"}[a>>5&3]
			saysWell(t, cfg, offer, packets)
			hearsWell(t, cfg, offer, messages, splits)
		}
	})
}

// saysWell has every decompressor read what a link says.
func saysWell(t *testing.T, cfg *transport.Config, offer string, packets []*transport.Packet) {
	l, c := cfg.MemoryPair(1 << 21)
	defer l.Release()
	response := transport.Agree(l, offer)
	for _, p := range packets {
		if err := l.Queue(p); err != nil {
			t.Fatal(err)
		}
	}
	for ok := true; ok; ok = l.Pending() > 0 {
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	l.CloseWrite()
	out, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	peer := transporttest.NewPeer(c, bufio.NewReader(bytes.NewReader(out)))
	if err := peer.UseCompression(response); err != nil {
		t.Fatal(err)
	}
	takeover := !strings.Contains(response, "server_no_context_takeover")
	var context []byte
	frames := transporttest.NewPeer(c, bufio.NewReader(bytes.NewReader(out)))
	for i, p := range packets {
		if _, got, err := peer.ReadMessage(t.Context()); err != nil || !bytes.Equal(got, p.Data()) {
			t.Fatalf("%s: message %d of %d bytes: %d, %v", response, i, len(p.Data()), len(got), err)
		}
		f, err := frames.ReadFrame(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !f.Header.Rsv1() {
			continue
		}
		if len(f.Payload) >= len(p.Data()) {
			t.Errorf("%d bytes have become %d", len(p.Data()), len(f.Payload))
		}
		z := append(f.Payload, "\x00\x00\xff\xff\x01\x00\x00\xff\xff"...)
		for name, r := range map[string]io.Reader{
			"the library's": stdflate.NewReaderDict(bytes.NewReader(z), context),
			"klauspost's":   flate.NewReaderDict(bytes.NewReader(z), context),
		} {
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, p.Data()) {
				t.Fatalf("%s, %s: message %d of %d bytes: %d, %v", response, name, i, len(p.Data()), len(got), err)
			}
		}
		if takeover {
			context = append(context, p.Data()...)
			context = context[max(0, len(context)-32<<10):]
		}
	}
}

// hearsWell has a link read what a client says.
func hearsWell(t *testing.T, cfg *transport.Config, offer string, messages [][]byte, splits []byte) {
	peer := transporttest.NewPeer(nil, nil)
	w, response := watchOffer(t, cfg, offer)
	if err := peer.UseCompression(response); err != nil {
		t.Fatal(err)
	}
	for i, m := range messages {
		f := squeezed(frame(ws.OpBinary, i%2 == 0, string(peer.Deflate(m))))
		if i%2 != 0 {
			f = join(f, frame(ws.OpPing, true, "between"), frame(ws.OpContinuation, true, ""))
		}
		w.events = nil
		w.write(pieces(f, splits))
		if n := len(w.events); n != 1+i%2 || w.events[n-1] != fmt.Sprintf("binary %q", m) {
			t.Fatalf("%s: message %d of %d bytes: %.200q", offer, i, len(m), w.events)
		}
	}
	w.feed(nil, nil, false)
}
