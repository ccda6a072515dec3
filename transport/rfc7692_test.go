package transport_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

const (
	none    = "; server_no_context_takeover; client_no_context_takeover"
	deflate = "permessage-deflate"
)

func TestRFC7692_7_1_Negotiation(t *testing.T) {
	server := transport.Deflate{ServerTakeover: true}
	client := transport.Deflate{ClientTakeover: true}
	both := transport.Deflate{ServerTakeover: true, ClientTakeover: true}
	for _, c := range []struct {
		name  string
		cfg   transport.Deflate
		offer []string
		want  string
	}{
		{name: "§5 no offer"},
		{name: "§5 another extension", offer: []string{"permessage-bzip2, x-webkit-deflate-frame"}},
		{name: "§7 the plain offer", offer: []string{deflate}, want: deflate + none},
		{name: "§7 a browser's", offer: []string{deflate + "; client_max_window_bits"}, want: deflate + none},
		{name: "§7 in any case, with spaces", offer: []string{" PerMessage-Deflate ;\tClient_Max_Window_Bits "}, want: deflate + none},
		{name: "§5.1 the first of several that is acceptable", offer: []string{"foo, " + deflate + "; server_max_window_bits=10, " + deflate}, want: deflate + "; server_max_window_bits=10" + none},
		{name: "§5.1 after one that is not", offer: []string{deflate + "; bogus, " + deflate + "; server_max_window_bits=10"}, want: deflate + "; server_max_window_bits=10" + none},
		{name: "§5.1 over several lines", offer: []string{deflate + "; server_max_window_bits=7", deflate}, want: deflate + none},
		{name: "§7.1.1.1 server_no_context_takeover is granted", cfg: both, offer: []string{deflate + "; server_no_context_takeover"}, want: deflate + "; server_no_context_takeover"},
		{name: "§7.1.1.1 and given unasked", cfg: client, offer: []string{deflate}, want: deflate + "; server_no_context_takeover"},
		{name: "§7.1.1.2 client_no_context_takeover is granted", cfg: both, offer: []string{deflate + "; client_no_context_takeover"}, want: deflate + "; client_no_context_takeover"},
		{name: "§7.1.1.2 and given unasked", cfg: server, offer: []string{deflate}, want: deflate + "; client_no_context_takeover"},
		{name: "§7.1.1 both take over", cfg: both, offer: []string{deflate}, want: deflate},
		{name: "§7.1.2.1 server_max_window_bits is honoured", cfg: both, offer: []string{deflate + "; server_max_window_bits=8"}, want: deflate + "; server_max_window_bits=8"},
		{name: "§7.1.2.1 also the largest", cfg: both, offer: []string{deflate + "; server_max_window_bits=15"}, want: deflate + "; server_max_window_bits=15"},
		{name: "§7.1.2.1 in quotes", cfg: both, offer: []string{deflate + `; server_max_window_bits="1\2"`}, want: deflate + "; server_max_window_bits=12"},
		{name: "§7.1.2.2 client_max_window_bits is honoured", cfg: both, offer: []string{deflate + "; client_max_window_bits=9"}, want: deflate + "; client_max_window_bits=9"},
		{name: "§7.1.2.2 a smaller one than offered, to keep less", cfg: both, offer: []string{deflate + "; client_max_window_bits=15"}, want: deflate + "; client_max_window_bits=12"},
		{name: "§7.1.2.2 without a value", cfg: both, offer: []string{deflate + "; client_max_window_bits"}, want: deflate + "; client_max_window_bits=12"},
		{name: "§7.1.2.2 not in the answer unless in the offer", cfg: both, offer: []string{deflate}, want: deflate},
		{name: "§7.1.2.2 honoured where nothing is kept", offer: []string{deflate + "; client_max_window_bits=10"}, want: deflate + none + "; client_max_window_bits=10"},
		{
			name:  "§7.1 all four",
			cfg:   both,
			offer: []string{deflate + "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=13"},
			want:  deflate + "; server_max_window_bits=11" + none + "; client_max_window_bits=13",
		},
		{name: "§7 an unknown parameter", offer: []string{deflate + "; foo"}},
		{name: "§7 a parameter twice", offer: []string{deflate + "; client_max_window_bits; client_max_window_bits"}},
		{name: "§7 another twice", offer: []string{deflate + "; server_no_context_takeover; server_no_context_takeover"}},
		{name: "§7 a window twice", offer: []string{deflate + "; server_max_window_bits=10; server_max_window_bits=10"}},
		{name: "§7.1.1 a value where none may be", offer: []string{deflate + "; server_no_context_takeover=1"}},
		{name: "§7.1.2.1 no value", offer: []string{deflate + "; server_max_window_bits"}},
		{name: "§7.1.2 too small", offer: []string{deflate + "; server_max_window_bits=7"}},
		{name: "§7.1.2 too large", offer: []string{deflate + "; client_max_window_bits=16"}},
		{name: "§7.1.2 a leading zero", offer: []string{deflate + "; client_max_window_bits=08"}},
		{name: "§7.1.2 three digits", offer: []string{deflate + "; server_max_window_bits=010"}},
		{name: "§7.1.2 a sign", offer: []string{deflate + "; server_max_window_bits=+9"}},
		{name: "§7.1.2 a window twice, of which one is wrong", offer: []string{deflate + "; client_max_window_bits; client_max_window_bits=99"}},
		{name: "§7.1.2 quoted, and wrong", offer: []string{deflate + `; server_max_window_bits="9 "`}},
		{name: "§5 elements may be empty", offer: []string{"", ", ,\t" + deflate + " , ,", ""}, want: deflate + none},
		{name: "§5 a comma in a quoted string separates nothing", offer: []string{`foo; bar="\b\a\z", ` + deflate}, want: deflate + none},
		{name: "§7.1.2 no number", offer: []string{deflate + "; client_max_window_bits=ten"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, _ := transporttest.Pair(&transport.Config{Deflate: &c.cfg}, 0)
			defer l.Release()
			if got := transport.Agree(l, c.offer...); got != c.want {
				t.Errorf("answer %q, want %q", got, c.want)
			}
		})
	}
}

// TestRFC6455_9_1_MalformedExtensions: what the grammar does not have fails the
// handshake, whether we know any extension or not. Nothing was hijacked then.
func TestRFC6455_9_1_MalformedExtensions(t *testing.T) {
	for _, lines := range [][]string{
		{";"},
		{"="},
		{`"permessage-deflate"`},
		{deflate + ";"},
		{deflate + "; "},
		{deflate + ";; server_no_context_takeover"},
		{deflate + "; =10"},
		{deflate + " x"},
		{deflate + "; client_max_window_bits="},
		{deflate + "; client_no_context_takeover=, x"},
		{deflate + `; client_max_window_bits=""`},
		{deflate + `; server_max_window_bits="10, ` + deflate},
		{deflate + `; server_max_window_bits="1 0"`},
		{deflate + `; server_max_window_bits="10"x`},
		{deflate + `; server_max_window_bits="10\`},
		{deflate + "; server_max_window_bits=10=10"},
		{deflate + "; server max"},
		{deflate + "; a=b;", deflate},
		{deflate, "permessage/deflate"},
		{deflate + "\x00"},
		{deflate + "; ä"},
	} {
		for _, cfg := range []transport.Config{{}, {Deflate: &transport.Deflate{}}} {
			r := upgradeRequest()
			r.Header["Sec-Websocket-Extensions"] = lines
			w := httptest.NewRecorder() // cannot be hijacked
			_, err := cfg.WebSocket(w, r, nil, "")
			if e, ok := err.(*transport.HandshakeError); !ok || e.Status != 400 {
				t.Errorf("%q: %v", lines, err)
			}
		}
		l, _ := transporttest.Pair(&transport.Config{Deflate: &transport.Deflate{}}, 0)
		if got := transport.Agree(l, lines...); got != "" {
			t.Errorf("%q: answered %q", lines, got)
		}
		l.Release()
	}
}

// compressed sets RSV1.
func squeezed(f []byte) []byte { return patched(f, 0, func(b byte) byte { return b | 0x40 }) }

// The RFC's own examples, §7.2.3.
const (
	hello      = "\xf2\x48\xcd\xc9\xc9\x07\x00"
	helloAgain = "\xf2\x00\x11\x00\x00"
)

var deflateClauses = []struct {
	name  string
	bytes []byte
	want  []string
}{
	{
		name:  "§7.2.3.1 one compressed block",
		bytes: squeezed(frame(ws.OpText, true, hello)),
		want:  []string{`text "Hello"`, "end EOF"},
	},
	{
		name:  "§7.2.3.1 in fragments, with a control frame between",
		bytes: join(squeezed(frame(ws.OpText, false, hello[:3])), frame(ws.OpPing, true, "p"), frame(ws.OpContinuation, true, hello[3:])),
		want:  []string{`ping "p"`, `text "Hello"`, "end EOF"},
	},
	{
		name:  "§6.1 a fragment may be empty",
		bytes: join(squeezed(frame(ws.OpText, false, "")), frame(ws.OpContinuation, false, hello), frame(ws.OpContinuation, true, "")),
		want:  []string{`text "Hello"`, "end EOF"},
	},
	{
		name:  "§7.2.3.2 context is taken over",
		bytes: join(squeezed(frame(ws.OpText, true, hello)), squeezed(frame(ws.OpText, true, helloAgain))),
		want:  []string{`text "Hello"`, `text "Hello"`, "end EOF"},
	},
	{
		name:  "§7.2.3.2 a message that was not compressed is no context",
		bytes: join(squeezed(frame(ws.OpText, true, hello)), frame(ws.OpText, true, "other"), squeezed(frame(ws.OpText, true, helloAgain))),
		want:  []string{`text "Hello"`, `text "other"`, `text "Hello"`, "end EOF"},
	},
	{
		name:  "§7.2.3.3 a block without compression",
		bytes: squeezed(frame(ws.OpText, true, "\x00\x05\x00\xfa\xffHello\x00")),
		want:  []string{`text "Hello"`, "end EOF"},
	},
	{
		name:  "§7.2.3.4 a block with BFINAL",
		bytes: squeezed(frame(ws.OpText, true, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00")),
		want:  []string{`text "Hello"`, "end EOF"},
	},
	{
		name:  "§7.2.3.4 and another behind it",
		bytes: squeezed(frame(ws.OpText, true, "\xf3\x48\xcd\xc9\xc9\x07\x00"+hello)),
		want:  []string{`text "HelloHello"`, "end EOF"},
	},
	{
		name:  "§7.2.3.4 and is context for the next message",
		bytes: join(squeezed(frame(ws.OpText, true, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00")), squeezed(frame(ws.OpText, true, helloAgain))),
		want:  []string{`text "Hello"`, `text "Hello"`, "end EOF"},
	},
	{
		name:  "§7.2.3.4 many, and nothing in them",
		bytes: squeezed(frame(ws.OpText, true, strings.Repeat("\x03\x00", 50)+hello)),
		want:  []string{`text "Hello"`, "end EOF"},
	},
	{
		name:  "§7.2.3.4 garbage behind it",
		bytes: squeezed(frame(ws.OpText, true, "\xf3\x48\xcd\xc9\xc9\x07\x00\xff\xff")),
		want:  []string{"fault 1007"},
	},
	{
		name:  "§7.2.3.4 without the octet behind it",
		bytes: squeezed(frame(ws.OpText, true, "\xf3\x48\xcd\xc9\xc9\x07\x00")),
		want:  []string{`text "Hello"`, "end EOF"},
	},
	{
		name:  "§7.2.3.5 two blocks",
		bytes: squeezed(frame(ws.OpText, true, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")),
		want:  []string{`text "Hello"`, "end EOF"},
	},
	{
		name:  "§7.2.3.6 an empty message",
		bytes: join(squeezed(frame(ws.OpText, true, "\x00")), squeezed(frame(ws.OpBinary, true, "\x00"))),
		want:  []string{`text ""`, `binary ""`, "end EOF"},
	},
	{
		name:  "§6 a message may come uncompressed",
		bytes: join(frame(ws.OpText, true, "plain"), frame(ws.OpBinary, false, "pl"), frame(ws.OpContinuation, true, "ain")),
		want:  []string{`text "plain"`, `binary "plain"`, "end EOF"},
	},
	{
		name:  "§6.1 RSV1 on a control frame",
		bytes: squeezed(frame(ws.OpPing, true, "x")),
		want:  []string{"fault 1002"},
	},
	{
		name:  "§6.1 RSV1 on a close frame",
		bytes: squeezed(frame(ws.OpClose, true, "\x03\xe8")),
		want:  []string{"fault 1002"},
	},
	{
		name:  "§6.1 RSV1 on a later fragment",
		bytes: join(squeezed(frame(ws.OpText, false, hello[:3])), squeezed(frame(ws.OpContinuation, true, hello[3:]))),
		want:  []string{"fault 1002"},
	},
	{
		name:  "§6.1 RSV1 on a later fragment of a plain message",
		bytes: join(frame(ws.OpText, false, "a"), squeezed(frame(ws.OpContinuation, true, hello))),
		want:  []string{"fault 1002"},
	},
	{
		name:  "RFC 6455 §5.2 RSV2 has no meaning",
		bytes: patched(frame(ws.OpText, true, hello), 0, func(b byte) byte { return b | 0x60 }),
		want:  []string{"fault 1002"},
	},
	{
		name:  "RFC 6455 §5.2 nor has RSV3",
		bytes: patched(frame(ws.OpText, true, "a"), 0, func(b byte) byte { return b | 0x10 }),
		want:  []string{"fault 1002"},
	},
	{
		name:  "RFC 6455 §8.1 invalid UTF-8 in compressed text",
		bytes: squeezed(frame(ws.OpText, true, "\x00\x03\x00\xfc\xffa\xffb\x00")),
		want:  []string{"fault 1007"},
	},
	{
		name:  "RFC 6455 §8.1 compressed text ends in a rune, in fragments",
		bytes: join(squeezed(frame(ws.OpText, false, "\x00\x01\x00\xfe\xff")), frame(ws.OpContinuation, true, "\xe2\x00")),
		want:  []string{"fault 1007"},
	},
	{
		name:  "§7.2.2 what looks like bad UTF-8 is good text once inflated",
		bytes: join(squeezed(frame(ws.OpText, false, hello[:1])), frame(ws.OpContinuation, true, hello[1:])),
		want:  []string{`text "Hello"`, "end EOF"},
	},
	{
		name:  "§7.2.2 corrupt data: block type 3",
		bytes: squeezed(frame(ws.OpBinary, true, "\x07\x00")),
		want:  []string{"fault 1007"},
	},
	{
		name:  "§7.2.2 corrupt data: a distance too far back",
		bytes: squeezed(frame(ws.OpBinary, true, helloAgain)),
		want:  []string{"fault 1007"},
	},
	{
		name:  "§7.2.2 corrupt data: ends within a block",
		bytes: squeezed(frame(ws.OpBinary, true, "\x00\xff\x00\x00\xffHello")),
		want:  []string{"fault 1007"},
	},
	{
		name:  "§7.2.2 corrupt data: no block at all",
		bytes: join(squeezed(frame(ws.OpBinary, false, "")), frame(ws.OpContinuation, true, "")),
		want:  []string{"fault 1007"},
	},
	{
		name:  "RFC 6455 §10.4 exactly the limit",
		bytes: squeezed(frame(ws.OpBinary, true, stored(strings.Repeat("z", limit)))),
		want:  []string{fmt.Sprintf("binary %q", strings.Repeat("z", limit)), "end EOF"},
	},
	{
		name:  "RFC 6455 §10.4 one byte more",
		bytes: squeezed(frame(ws.OpBinary, true, stored(strings.Repeat("z", limit+1)))),
		want:  []string{"fault 1009"},
	},
	{
		name:  "RFC 6455 §10.4 one byte more, in fragments",
		bytes: join(squeezed(frame(ws.OpBinary, false, stored(strings.Repeat("z", limit+1))[:limit])), frame(ws.OpContinuation, true, stored(strings.Repeat("z", limit+1))[limit:])),
		want:  []string{"fault 1009"},
	},
	{
		name:  "RFC 6455 §10.4 more than the limit can ever need, known from the header",
		bytes: squeezed(frame(ws.OpBinary, true, strings.Repeat("z", 2*limit)))[:8],
		want:  []string{"fault 1009"},
	},
	{
		name:  "RFC 6455 §10.4 a declared length of 2^62 takes no memory",
		bytes: []byte{0xc2, 0x80 | 127, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 'x'},
		want:  []string{"fault 1009"},
	},
}

// stored is a message in a block without compression.
func stored(s string) string {
	n := len(s)
	return "\x00" + string([]byte{byte(n), byte(n >> 8), ^byte(n), ^byte(n >> 8)}) + s + "\x00"
}

func TestRFC7692(t *testing.T) {
	cfg := transport.Config{MaxMessageBytes: limit, Deflate: &transport.Deflate{ClientTakeover: true}}
	for _, c := range deflateClauses {
		t.Run(c.name, func(t *testing.T) {
			eachDeflate(t, cfg, deflate, func(t *testing.T, o *owner, p *transporttest.Peer) {
				check(t, o, p, c.want, func() { p.WriteRaw(c.bytes) })
			})
		})
		t.Run(c.name+", byte by byte", func(t *testing.T) {
			eachDeflate(t, cfg, deflate, func(t *testing.T, o *owner, p *transporttest.Peer) {
				check(t, o, p, c.want, func() {
					for i := range c.bytes {
						p.WriteRaw(c.bytes[i : i+1])
					}
				})
			})
		})
	}
}

// eachDeflate is eachDriver with an offer for compression.
func eachDeflate(t *testing.T, cfg transport.Config, offer string, test func(t *testing.T, o *owner, p *transporttest.Peer)) {
	for _, d := range drivers {
		t.Run(d.String(), func(t *testing.T) {
			o, p := connectDeflate(t, cfg, d, offer)
			test(t, o, p)
		})
	}
}

func connectDeflate(t testing.TB, cfg transport.Config, d transport.Driver, offer string) (*owner, *transporttest.Peer) {
	t.Helper()
	o, p := connect(t, cfg, d, transporttest.WithCompression(offer))
	if d == transport.DriverMemory {
		if err := p.UseCompression(transport.Agree(o.link, offer)); err != nil {
			t.Fatal(err)
		}
	}
	return o, p
}

// TestRFC7692_7_1_1_1_NoContextTakeover: a message that refers to one before it is
// corrupt where that was not agreed on.
func TestRFC7692_7_1_1_1_NoContextTakeover(t *testing.T) {
	eachDeflate(t, transport.Config{Deflate: &transport.Deflate{}}, deflate, func(t *testing.T, o *owner, p *transporttest.Peer) {
		check(t, o, p, []string{`text "Hello"`, "fault 1007"}, func() {
			p.WriteRaw(join(squeezed(frame(ws.OpText, true, hello)), squeezed(frame(ws.OpText, true, helloAgain))))
		})
	})
}

// TestRFC7692_5_NothingAgreed: without an offer, or without the option, the bit is
// reserved as it always was.
func TestRFC7692_5_NothingAgreed(t *testing.T) {
	for name, cfg := range map[string]transport.Config{"off": {}, "on": {Deflate: &transport.Deflate{}}} {
		t.Run(name, func(t *testing.T) {
			offer := ""
			if name == "off" {
				offer = deflate
			}
			for _, d := range drivers {
				if d == transport.DriverMemory {
					continue
				}
				o, p := connect(t, cfg, d, transporttest.WithCompression(offer))
				check(t, o, p, []string{"fault 1002"}, func() { p.WriteRaw(squeezed(frame(ws.OpText, true, hello))) })
			}
		})
	}
}

// TestRFC7692_5_1_WrappedWriter: the answer also goes through a writer that
// middleware has wrapped, and an application cannot name extensions itself.
func TestRFC7692_5_1_WrappedWriter(t *testing.T) {
	cfg := transport.Config{Deflate: &transport.Deflate{}}
	for _, wrap := range []func(w http.ResponseWriter) http.ResponseWriter{
		func(w http.ResponseWriter) http.ResponseWriter { return w },
		func(w http.ResponseWriter) http.ResponseWriter { return unwrapping{w} },
	} {
		s, links := serve(t, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
			w.Header().Set("Sec-WebSocket-Extensions", "mine")
			return cfg.WebSocket(wrap(w), r, http.Header{"Sec-Websocket-Extensions": {"mine"}}, "")
		})
		o, p := accept(t, s.URL, links, transporttest.WithCompression(deflate+"; server_max_window_bits=9"))
		if err := p.WriteCompressed(transport.Text, []byte("hello, hello")); err != nil {
			t.Fatal(err)
		}
		if got := describe(o.next()); got != `text "hello, hello"` {
			t.Error(got)
		}
	}
}

type unwrapping struct{ http.ResponseWriter }

func (u unwrapping) Unwrap() http.ResponseWriter { return u.ResponseWriter }
