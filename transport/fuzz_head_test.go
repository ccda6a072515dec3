package transport_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

// FuzzHead gives any field to a response, before it is opened and when it begins:
// whatever the field says, the head has no other fields for it, ends where it should,
// and says in one way where the body ends.
func FuzzHead(f *testing.F) {
	for i, s := range []string{
		"X-A", "x-b\r\nInjected", "Set-Cookie", "Content-Length", "transfer-encoding", "Connection", "Trailer", "Trailer:X", "", "Date", "Content-Type", "Sec-WebSocket-Accept", "Bad Name",
	} {
		for _, v := range []string{"1", "a\r\nInjected: b", "chunked", "close\x00", " \t"} {
			f.Add(s, v, int16(200+i), uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, name, value string, status int16, settings uint8) {
		if len(name)+len(value) > 2000 {
			return
		}
		inBubble(t, func(t *testing.T) {
			set := http.Header{name: {value, value}}
			h := &transport.Head{Status: int(status), Header: set}
			var bad *transport.HeadError
			err := transport.CheckHead(h)
			if err != nil && !errors.As(err, &bad) {
				t.Errorf("%T", err)
			}
			way := ways[1+int(settings&1)]
			run := func(o *owner, _ *http.Request) {
				if settings&2 != 0 {
					if _, begun := o.link.Begin(h, -1); (begun == nil) != (err == nil) {
						t.Errorf("Begin says %v, CheckHead %v", begun, err)
					}
				}
				o.say("body")
			}
			var before http.Header
			isControl := func(r rune) bool { return r < ' ' && r != '\r' && r != '\n' || r == 0x7f }
			if settings&4 != 0 && !strings.ContainsFunc(value, isControl) { // which net/http writes as they are
				before = set
			}
			out := exchange(t, streamsOf(t, &transport.Config{Driver: way.driver}, way, transport.FramingStream, before, run),
				[][]byte{[]byte("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")})
			all, _ := answers(t, out, []string{"GET"})
			if len(all) != 1 || all[0].err != nil {
				t.Fatalf("%q", out)
			}
			a := all[0]
			want := "body"
			if a.StatusCode == 204 || a.StatusCode == 304 {
				want = ""
			}
			if a.body != want || len(a.TransferEncoding) > 1 {
				t.Errorf("%+v %q", a.Response, a.body)
			}
			for field, values := range a.Header {
				if !slices.Contains([]string{"Content-Type", "Date", "Connection", "Content-Length"}, field) && field != http.CanonicalHeaderKey(name) {
					t.Errorf("%q: %q out of %q: %q", field, values, name, value)
				}
			}
		})
	})
}
