package conformance

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// offering is the header line of an offer.
func offering(offer string) string { return "Sec-WebSocket-Extensions: " + offer + "\r\n" }

// The RFC's own examples, §7.2.3: "Hello", and "Hello" behind that.
const (
	hello      = "\xf2\x48\xcd\xc9\xc9\x07\x00"
	helloAgain = "\xf2\x00\x11\x00\x00"
)

// squeezed is the payload of a compressed message.
func squeezed(data string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9) // the level is one there is
	_, _ = w.Write([]byte(data))   // a buffer takes everything
	_ = w.Flush()
	return b.String()[:b.Len()-4]
}

// compressedText is a compressed message in one frame.
func compressedText(payload string) []byte { return masked(bitFin|bitRsv1|opText, payload) }

// TestRFC7692_6_Faults: what a client must not send once compression was agreed on.
func TestRFC7692_6_Faults(t *testing.T) {
	bomb := squeezed(strings.Repeat("\x00", maxMessage+1))
	// One who declares so much has said enough: nothing of it needs to come.
	tooMuch := uint64(maxMessage + maxMessage/8 + maxMessage/64 + 65)
	everywhere(t, func(t *testing.T, s *server) {
		for _, f := range []struct {
			name  string
			bytes []byte
			code  uint16
			alone bool // only where no context is taken over
		}{
			{name: "§6 RSV2", bytes: masked(bitFin|bitRsv2|opText, "a"), code: 1002},
			{name: "§6 RSV3", bytes: masked(bitFin|bitRsv3|opText, "a"), code: 1002},
			{name: "§6 RSV1 and RSV2", bytes: masked(bitFin|bitRsv1|bitRsv2|opText, hello), code: 1002},
			{name: "§6 RSV2 on a continuation", bytes: join(masked(bitRsv1|opText, hello[:3]), masked(bitFin|bitRsv2, hello[3:])), code: 1002},
			{name: "§6.1 RSV1 on a continuation", bytes: join(masked(bitRsv1|opText, hello[:3]), masked(bitFin|bitRsv1, hello[3:])), code: 1002},
			{name: "§6.1 RSV1 on a ping", bytes: masked(bitFin|bitRsv1|opPing, ""), code: 1002},
			{name: "§6.1 RSV1 on a pong", bytes: masked(bitFin|bitRsv1|opPong, hello), code: 1002},
			{name: "§6.1 RSV1 on a close frame", bytes: masked(bitFin|bitRsv1|opClose, "\x03\xe8"), code: 1002},
			{name: "§6.1 RSV1 on a reserved opcode", bytes: masked(bitFin|bitRsv1|3, hello), code: 1002},
			{name: "§7.2.2 a block of type 3", bytes: compressedText("\x06\x00"), code: 1007},
			{name: "§7.2.2 a stored block whose length is wrong", bytes: compressedText("\x00\x05\x00\xff\xffHello\x00"), code: 1007},
			{name: "§7.2.2 it ends within a block", bytes: compressedText(hello[:4]), code: 1007},
			{name: "§7.2.2 it refers to what never was", bytes: compressedText(helloAgain), code: 1007},
			{name: "§7.2.2 text that was not compressed", bytes: compressedText("Hello, world!"), code: 1007},
			{name: "§7.2.2 in the last of three fragments", bytes: join(masked(bitRsv1|opBinary, hello[:3]), part(0, hello[3:]), masked(bitFin, "\xff\xff\xff")), code: 1007},
			{name: "§7.1.1 it refers to the message before", bytes: join(compressedText(hello), compressedText(helloAgain)), code: 1007, alone: true},
			{name: "RFC 6455 §8.1 no UTF-8", bytes: compressedText(squeezed("a\xffb")), code: 1007},
			{name: "RFC 6455 §8.1 it ends within a character", bytes: compressedText(squeezed("a\xe2\x82")), code: 1007},
			{name: "RFC 6455 §8.1 no UTF-8, in fragments", bytes: fragments(bitRsv1, opText, squeezed("fine \xed\xa0\x80"), 2), code: 1007},
			{name: "RFC 6455 §10.4 a bomb", bytes: masked(bitFin|bitRsv1|opBinary, bomb), code: 1009},
			{name: "RFC 6455 §10.4 a bomb in fragments", bytes: fragments(bitRsv1, opBinary, bomb, 1000), code: 1009},
			{name: "RFC 6455 §10.4 a bomb of text", bytes: masked(bitFin|bitRsv1|opText, bomb), code: 1009},
			{name: "RFC 6455 §10.4 by its header", bytes: header(bitRsv1|opBinary, 8, tooMuch), code: 1009},
			{name: "RFC 6455 §10.4 2^62 bytes", bytes: header(bitFin|bitRsv1|opBinary, 8, 1<<62), code: 1009},
		} {
			for _, path := range []string{"/takeover", "/alone"} {
				if f.alone && path != "/alone" {
					continue
				}
				t.Run(f.name+path, func(t *testing.T) {
					c := s.dial(t, path, offering(deflate), f.bytes)
					if !c.deflate {
						t.Fatal("no compression was agreed on")
					}
					c.failed(s, f.code)
				})
			}
		}
	})
}

// TestRFC7692_7_2_3_Messages: the RFC's examples, and what else is in order.
func TestRFC7692_7_2_3_Messages(t *testing.T) {
	everywhere(t, func(t *testing.T, s *server) {
		for _, m := range []struct {
			name     string
			bytes    []byte
			want     []event
			takeover bool // only where context is taken over
		}{
			{name: "§7.2.3.1 one block", bytes: compressedText(hello), want: []event{{opText, "Hello"}}},
			{name: "§7.2.3.1 in fragments, with a ping between", bytes: join(masked(bitRsv1|opText, hello[:3]), whole(opPing, "p"), masked(bitFin, hello[3:])), want: []event{{opPong, "p"}, {opText, "Hello"}}},
			{name: "§7.2.3.2 context taken over", bytes: join(compressedText(hello), compressedText(helloAgain)), want: []event{{opText, "Hello"}, {opText, "Hello"}}, takeover: true},
			{name: "§7.2.3.2 over a message that is not compressed", bytes: join(compressedText(hello), whole(opText, "x"), compressedText(helloAgain)), want: []event{{opText, "Hello"}, {opText, "x"}, {opText, "Hello"}}, takeover: true},
			{name: "§7.2.3.3 a stored block", bytes: compressedText("\x00\x05\x00\xfa\xffHello\x00"), want: []event{{opText, "Hello"}}},
			{name: "§7.2.3.4 BFINAL", bytes: compressedText("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), want: []event{{opText, "Hello"}}},
			{name: "§7.2.3.5 two blocks", bytes: compressedText("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), want: []event{{opText, "Hello"}}},
			{name: "§7.2.3.6 nothing", bytes: compressedText("\x00"), want: []event{{opText, ""}}},
			{name: "§6 not compressed", bytes: join(whole(opText, "a"), part(opBinary, "b"), masked(bitFin, "c")), want: []event{{opText, "a"}, {opBinary, "bc"}}},
			{name: "§6.1 empty fragments", bytes: join(masked(bitRsv1|opText, ""), part(0, hello), part(0, ""), masked(bitFin, "")), want: []event{{opText, "Hello"}}},
			{name: "§6.1 each byte a fragment", bytes: fragments(bitRsv1, opText, hello, 1), want: []event{{opText, "Hello"}}},
		} {
			for _, path := range []string{"/takeover", "/alone"} {
				if m.takeover && path == "/alone" {
					continue
				}
				t.Run(m.name+path, func(t *testing.T) {
					for _, chop := range []int{len(m.bytes), 1} {
						c := s.dial(t, path, offering(deflate))
						c.chopped(chop, m.bytes)
						c.await(len(m.want))
						c.close(1000, "")
						c.finish()
						if err := c.orderly(); err != nil || fmt.Sprint(c.heard) != fmt.Sprint(m.want) {
							t.Errorf("in pieces of %d: heard %v, want %v; %d, %v", chop, c.heard, m.want, c.code, err)
						}
					}
				})
			}
		}
	})
}

// TestRFC7692_7_1_Declined: an offer that makes no sense is declined. The handshake
// goes well, and the bit is as reserved as without an offer.
func TestRFC7692_7_1_Declined(t *testing.T) {
	everywhere(t, func(t *testing.T, s *server) {
		for _, offer := range []string{
			"x-webkit-deflate-frame", "permessage-bzip2; client_max_window_bits", deflate + "; nonsense", deflate + "; nonsense=1",
			deflate + "; server_max_window_bits", deflate + "; server_max_window_bits=7", deflate + "; server_max_window_bits=16",
			deflate + "; server_max_window_bits=08", deflate + "; server_max_window_bits=+9", deflate + "; client_max_window_bits=0",
			deflate + "; client_max_window_bits=99999999999999999999", deflate + "; client_max_window_bits=-1",
			deflate + "; server_no_context_takeover=true", deflate + "; client_no_context_takeover=1",
			deflate + "; client_no_context_takeover; client_no_context_takeover", deflate + "; server_max_window_bits=9; server_max_window_bits=10",
			",", strings.Repeat(deflate+"; nonsense, ", 500), strings.Repeat(",", 8000), deflate + strings.Repeat("; x", 4000),
		} {
			c := s.dial(t, "/takeover", offering(offer), whole(opText, "plain"), compressedText(hello))
			if c.deflate {
				t.Errorf("offer %.60q: answer %q", offer, c.response.Header["Sec-Websocket-Extensions"])
			}
			c.failed(s, 1002)
			if len(c.heard) != 1 {
				t.Errorf("offer %.60q: heard %v", offer, c.heard)
			}
		}
	})
	everywhere(t, func(t *testing.T, s *server) { // where it is off, no offer is heard
		c := s.dial(t, "/", offering(deflate), compressedText(hello))
		if c.deflate {
			t.Error(c.response.Header)
		}
		c.failed(s, 1002)
	})
}

// TestRFC6455_9_1_Malformed: what is no list of extensions never agrees on one: the
// handshake fails, or goes on as if it were not there.
func TestRFC6455_9_1_Malformed(t *testing.T) {
	everywhere(t, func(t *testing.T, s *server) {
		for _, offer := range []string{
			deflate + "; server_max_window_bits=\"9", deflate + "; client_max_window_bits=", deflate + ";", deflate + ";;", ";" + deflate,
			deflate + " nonsense", "=" + deflate, deflate + "=1", ";", "=", "\"", "\"" + deflate + "\"", deflate + "; (=9", deflate + "; x=\"a b\"",
		} {
			c := s.connect(t, request("/takeover", offering(offer)))
			answer, err := http.ReadResponse(c.in, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			given := answer.Header["Sec-Websocket-Extensions"]
			if refused := answer.StatusCode >= 400 && answer.StatusCode < 500; !refused && answer.StatusCode != 101 || given != nil {
				t.Errorf("offer %q: %s, %q", offer, answer.Status, given)
			}
		}
	})
}

// TestRFC7692_7_1_2_Windows: each window that a client may ask for is in the answer,
// and kept to: the peer inflates by hand and looks how far back a message refers.
func TestRFC7692_7_1_2_Windows(t *testing.T) {
	data := []byte(string(materials()[0].data[:40_000]))
	everywhere(t, func(t *testing.T, s *server) {
		for _, path := range []string{"/takeover", "/alone"} {
			for bits := 8; bits <= 15; bits++ {
				c := s.dial(t, path, offering(fmt.Sprintf("%s; server_max_window_bits=%d; client_max_window_bits=%d", deflate, bits, bits)))
				answer := c.response.Header.Get("Sec-WebSocket-Extensions")
				var given int
				if _, rest, is := strings.Cut(answer, "client_max_window_bits="); is {
					_, _ = fmt.Sscanf(rest, "%d", &given) // 0 fails below
				}
				if !strings.Contains(answer, fmt.Sprintf("server_max_window_bits=%d", bits)) || given > bits || given < 8 {
					t.Errorf("%s: window of %d: answer %q", path, bits, answer)
				}
				peer := transporttest.NewPeer(c.conn, c.in)
				if err := peer.UseCompression(answer); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				for i := range 3 {
					if err := peer.WriteCompressed(transport.Text, data[i:]); err != nil {
						t.Fatal(err)
					}
					if _, got, err := peer.ReadMessage(ctx); err != nil || !bytes.Equal(got, data[i:]) {
						t.Errorf("%s: window of %d: message %d: %d bytes, %v", path, bits, i, len(got), err)
					}
				}
				cancel()
				c.conn.Close()
				if e := s.end(t); e.Cause != supervisor.CauseConnectionLost {
					t.Error(e.Cause)
				}
			}
		}
	})
}
