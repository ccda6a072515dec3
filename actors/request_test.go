package actors_test

import (
	"bufio"
	"bytes"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// FuzzRequest: a channel's request is, after Open as before, the one that made it,
// whatever a client has sent.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		"GET /a/b%2fc?x=1&y HTTP/1.1\r\nHost: example.com:80\r\nCookie: a=b\r\nX: 1\r\nX: 2\r\n\r\n",
		"GET http://other/a?b HTTP/1.1\r\nHost: example.com\r\n\r\n",
		"GET mailto:x HTTP/1.1\r\nHost: example.com\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n",
		"GET //a/../b? HTTP/1.0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\nTrailer: y\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: y\r\nExpect: 100-continue\r\n\r\n0\r\n\r\n",
		"GET /?;%zz HTTP/1.1\r\nHost: x\r\nX-Odd:\t \xe9\r\n fold\r\nConnection: keep-alive, close\r\n\r\n",
		"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\n",
	} {
		f.Add([]byte(s), "192.0.2.1:50000", uint8(0))
	}
	f.Add([]byte("GET /app/ws?x HTTP/1.1\r\nHost: x\r\n\r\n"), "@", uint8(1))
	f.Fuzz(func(t *testing.T, head []byte, remote string, changed uint8) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil || r.ProtoMajor != 1 { // of others only HTTP/2's preface, which is no request
			return
		}
		for name, values := range r.Header {
			if !transport.IsToken(name) { // net/http's server refuses it
				return
			}
			for i, v := range values { // one that was folded may end in a space, which is not its own
				values[i] = strings.TrimSpace(v)
			}
		}
		r.Host = strings.TrimSpace(r.Host)
		r.RemoteAddr = remote
		if changed&1 != 0 { // as http.StripPrefix does
			r.URL.Path, r.URL.RawPath = "/ws", ""
		}
		want := *r
		uri, url := r.RequestURI, r.URL.String()
		got := actors.Recorded(r)
		if got.Method != want.Method || got.Proto != want.Proto || got.ProtoMajor != want.ProtoMajor || got.ProtoMinor != want.ProtoMinor ||
			got.Host != want.Host || got.RemoteAddr != remote || got.Close != want.Close {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got.URL == nil || got.URL.String() != url || !reflect.DeepEqual(got.URL, want.URL) || got.RequestURI != uri {
			t.Errorf("%q: got %+v of %q, want %+v", uri, got.URL, got.RequestURI, want.URL)
		}
		if !reflect.DeepEqual(got.Header, want.Header) {
			t.Errorf("got %q, want %q", got.Header, want.Header)
		}
		if got.Body != http.NoBody || got.ContentLength != 0 || len(got.TransferEncoding) > 0 || got.Trailer != nil {
			t.Errorf("a body: %+v", got)
		}
	})
}
