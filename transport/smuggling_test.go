package transport_test

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

// TestBodyIsNoRequest: what middleware makes of a request does not change what the
// wire had. None of these has read the body to its end, and the rest of it must not
// be taken for a request.
func TestBodyIsNoRequest(t *testing.T) {
	const smuggled = "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n"
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	io.WriteString(z, "abcd")
	z.Close()
	for _, c := range []struct {
		name   string
		body   string // what the application takes for it
		behind string // is not read by accident: a reader of 4 KiB ends here
		chunks bool
		change func(r *http.Request) *http.Request
	}{
		{
			name: "read in part",
			body: "abcd",
			change: func(r *http.Request) *http.Request {
				r.Body = io.NopCloser(io.LimitReader(r.Body, 4))
				return r
			},
		},
		{
			name:   "read in part, chunked",
			body:   "abcd",
			chunks: true,
			change: func(r *http.Request) *http.Request {
				r.Body = io.NopCloser(io.LimitReader(r.Body, 4))
				return r
			},
		},
		{
			name:   "unpacked",
			body:   packed.String(),
			behind: strings.Repeat("x", 4096-packed.Len()),
			change: func(r *http.Request) *http.Request {
				z, err := zlib.NewReader(r.Body)
				if err != nil {
					panic(err)
				}
				r.Body = z
				return r
			},
		},
		{
			name:   "thrown away",
			change: func(r *http.Request) *http.Request { r.Body = http.NoBody; return r },
		},
		{
			name: "denied",
			change: func(r *http.Request) *http.Request {
				r = r.WithContext(r.Context()) // net/http itself would stumble over its own
				r.Body, r.ContentLength = http.NoBody, 0
				r.Header.Del("Content-Length")
				return r
			},
		},
		{
			name: "denied by another request",
			change: func(r *http.Request) *http.Request {
				r, _ = http.NewRequestWithContext(r.Context(), "GET", r.URL.String(), nil)
				return r
			},
		},
		{
			name:   "never looked at",
			change: func(r *http.Request) *http.Request { return r },
		},
	} {
		for _, w := range ways {
			t.Run(c.name+", "+w.name, func(t *testing.T) {
				h := streams(t, w, transport.FramingStream, sayPath)
				s := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/a" {
						if r = c.change(r); r.Body != nil && c.body != "" {
							io.ReadAll(r.Body)
						}
					}
					h.ServeHTTP(w, r)
				}))
				body := c.body + c.behind + smuggled
				request := fmt.Sprintf("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				if c.chunks {
					request = fmt.Sprintf("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
				}
				conn, r := rawGet(t, s, request)
				if resp, body := read(t, r, "POST"); body != "path /a" || !w.held && !resp.Close {
					t.Errorf("%+v %q", resp, body)
				}
				conn.(*net.TCPConn).CloseWrite()
				if b, _ := io.ReadAll(r); len(b) > 0 {
					t.Errorf("an answer to what nobody asked: %q", b)
				}
			})
		}
	}
}

// TestBodyThatWasRead: a request with a body is followed by another when the body
// was read to its end, whoever has read it.
func TestBodyThatWasRead(t *testing.T) {
	for _, body := range []string{
		"Content-Length: 4\r\n\r\nbody",
		"Content-Length: 0\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nTrailer: x\r\n\r\n",
	} {
		for _, w := range ways {
			t.Run(strings.SplitN(body, "\r", 2)[0]+", "+w.name, func(t *testing.T) {
				h := streams(t, w, transport.FramingStream, sayPath)
				s := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					whole := r.Body
					r.Body = io.NopCloser(whole)
					io.ReadAll(whole)
					h.ServeHTTP(w, r)
				}))
				_, r := rawGet(t, s, "POST /a HTTP/1.1\r\nHost: x\r\n"+body+"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
				if resp, body := read(t, r, "POST"); resp.Close || body != "path /a" {
					t.Errorf("%+v %q", resp, body)
				}
				if _, body := read(t, r, "GET"); body != "plain" {
					t.Error(body)
				}
			})
		}
	}
}

// TestHeadStaysHead: a body in the answer to HEAD would be read as the next response.
func TestHeadStaysHead(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			h := streams(t, w, transport.FramingStream, sayPath)
			s := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					r = r.Clone(r.Context())
					r.Method = http.MethodGet
				}
				h.ServeHTTP(w, r)
			}))
			_, r := rawGet(t, s, "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\nGET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, body := read(t, r, "HEAD"); body != "" {
				t.Error(body)
			}
			if _, body := read(t, r, "GET"); body != "plain" {
				t.Error(body)
			}
		})
	}
}

// TestConnectIsRefused: a client that was answered 2xx would take all that follows
// for the tunnel (RFC 9110 §9.3.6).
func TestConnectIsRefused(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			cfg := transport.Config{}
			s := serveHandler(t, handler(t, make(chan transport.Link, 1), func(rw http.ResponseWriter, r *http.Request) (transport.Link, error) {
				if w.held {
					rw = flushing{wrapped{rw}}
				}
				return cfg.Stream(rw, r, transport.FramingStream, 0, nil)
			}))
			c, _ := rawGet(t, s, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "CONNECT"})
			if err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%v %v", resp, err)
			}
		})
	}
}
