package transport_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// FuzzCloseBody has a link read any body of a close frame, and write one of any
// code and reason, which must be one that it would read.
func FuzzCloseBody(f *testing.F) {
	for _, s := range []string{"", "a", "\x03\xe8", "\x03\xe8bye", "\x03\xed", "\x0f\xa0\xff", "\x03\xf4" + strings.Repeat("é", 62)} {
		f.Add([]byte(s), uint16(1000+len(s)), s+"\x00€")
	}
	f.Fuzz(func(t *testing.T, body []byte, code uint16, reason string) {
		body = body[:min(len(body), 125)]
		want := &reference{}
		if want.close(body); want.events == nil {
			t.Fatal("no verdict")
		}
		if got := closeRead(t, body); got != want.events[0] {
			t.Fatalf("%q: %s, want %s", body, got, want.events[0])
		}

		l, p := transporttest.Pair(&transport.Config{}, 0)
		defer l.Release()
		l.Close(code, reason)
		l.Close(1000, "only the first call counts")
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		c, err := p.ReadFrame(t.Context())
		if err != nil || c.Header.OpCode != ws.OpClose || !c.Header.Fin || c.Header.Rsv != 0 || c.Header.Length > 125 {
			t.Fatalf("%+v, %v", c.Header, err)
		}
		if len(c.Payload) == 0 {
			if mayBeSaid(int(code)) {
				t.Fatalf("code %d was not sent", code)
			}
			return
		}
		// What is no UTF-8 becomes U+FFFD, and what finds no room is cut off between
		// two runes.
		said, all := string(c.Payload[2:]), string([]rune(reason))
		if read := closeRead(t, c.Payload); read != fmt.Sprintf("close %d %q", code, said) {
			t.Fatalf("%d %q: wrote %q, which is read as %s", code, reason, c.Payload, read)
		}
		if rest, ok := strings.CutPrefix(all, said); !ok || rest != "" && len(said)+runeLen(rest) <= 123 {
			t.Fatalf("%q of %q", said, reason)
		}
	})
}

func runeLen(s string) int { _, n := utf8.DecodeRuneInString(s); return n }

// closeRead is what a link makes of a close frame with this body.
func closeRead(t *testing.T, body []byte) string {
	l, p := transporttest.Pair(&transport.Config{}, 0)
	defer l.Release()
	if err := p.WriteRaw(frame(ws.OpClose, true, string(body))); err != nil {
		t.Fatal(err)
	}
	in, ok := l.Next()
	if !ok {
		t.Fatal("nothing was read")
	}
	return describe(in)
}
