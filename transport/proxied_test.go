package transport_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/troupe-actors/troupe/transport"
)

var (
	proxyAddr  = &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 4000}
	clientAddr = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 50123}
)

// script is a connection that a proxy opened, and what it says.
type script struct {
	net.Conn // that is closed; may be nil
	r        io.Reader
	remote   net.Addr
}

func (s *script) Read(b []byte) (int, error) { return s.r.Read(b) }
func (s *script) RemoteAddr() net.Addr       { return s.remote }

// one is a listener to which one connection comes.
type one struct {
	net.Listener
	conn net.Conn
}

func (l one) Accept() (net.Conn, error) { return l.conn, nil }

// behindProxy passes a connection through a ProxyListener that trusts 10/8.
func behindProxy(t testing.TB, c net.Conn) (conn net.Conn, refused *[]error) {
	refused = new([]error)
	l := &transport.ProxyListener{
		Listener: one{conn: c},
		Trusted:  []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Timeout:  time.Minute,
		Refused:  func(_ net.Addr, err error) { *refused = append(*refused, err) },
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return conn, refused
}

func v2(t testing.TB, command proxyproto.ProtocolVersionAndCommand, extra int) string {
	h := proxyproto.HeaderProxyFromAddrs(2, clientAddr, proxyAddr)
	h.Command = command
	if extra > 0 {
		if err := h.SetTLVs([]proxyproto.TLV{{Type: proxyproto.PP2_TYPE_NOOP, Value: make([]byte, extra)}}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestProxyHeader(t *testing.T) {
	const rest = "GET / HTTP/1.1\r\n\r\n"
	const bad = "PROXY header"
	for _, tt := range []struct {
		name    string
		in      string
		remote  net.Addr // default: the proxy's
		want    string   // RemoteAddr
		refused string   // part of what is reported
	}{
		{"version 1", "PROXY TCP4 192.0.2.7 10.0.0.1 50123 443\r\n", nil, "192.0.2.7:50123", ""},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 50123 443\r\n", nil, "[2001:db8::7]:50123", ""},
		{"version 1, unknown", "PROXY UNKNOWN\r\n", nil, "10.0.0.1:4000", ""},
		{"version 1, unknown at its longest", "PROXY UNKNOWN" + strings.Repeat(" ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2) + " 65535 65535\r\n", nil, "10.0.0.1:4000", ""},
		{"version 2", v2(t, proxyproto.PROXY, 0), nil, "192.0.2.7:50123", ""},
		{"version 2 with more to tell", v2(t, proxyproto.PROXY, 4000), nil, "192.0.2.7:50123", ""},
		{"version 2, local", v2(t, proxyproto.LOCAL, 0), nil, "10.0.0.1:4000", ""},
		{"version 2, a datagram", "\r\n\r\n\x00\r\nQUIT\n\x21\x12\x00\x0c" + strings.Repeat("\x01", 12), nil, "10.0.0.1:4000", ""},
		{"mapped address of a proxy", "PROXY TCP4 192.0.2.7 10.0.0.1 50123 443\r\n", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1).To16(), Port: 1}, "192.0.2.7:50123", ""},

		{"none", "GET / HTTP/1.1\r\n", nil, "10.0.0.1:4000", bad},
		{"too long a line", "PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n", nil, "10.0.0.1:4000", bad},
		{"a line without an end", "PROXY TCP4 192.0.2.7 10.0.0.1 50123 443\n", nil, "10.0.0.1:4000", bad},
		{"no address", "PROXY TCP4 192.0.2.777 10.0.0.1 50123 443\r\n", nil, "10.0.0.1:4000", bad},
		{"version 2 with much too much", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", nil, "10.0.0.1:4000", "65535 bytes are announced"},
		{"version 2 with too little", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x04abcd", nil, "10.0.0.1:4000", bad},
		{"version 3", "\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x00", nil, "10.0.0.1:4000", bad},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, split := range []func(io.Reader) io.Reader{
				func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader,
			} {
				remote := net.Addr(proxyAddr)
				if tt.remote != nil {
					remote = tt.remote
				}
				c, refused := behindProxy(t, &script{r: split(strings.NewReader(tt.in + rest)), remote: remote})
				if got := c.RemoteAddr().String(); got != tt.want {
					t.Errorf("RemoteAddr %s, want %s", got, tt.want)
				}
				got, err := io.ReadAll(c)
				if tt.refused == "" {
					if string(got) != rest || err != nil || len(*refused) > 0 {
						t.Errorf("behind the header %q, %v, refused %v", got, err, *refused)
					}
					continue
				}
				if err == nil || len(*refused) != 1 || !strings.Contains((*refused)[0].Error(), tt.refused) {
					t.Errorf("read %v, refused %v, want %q", err, *refused, tt.refused)
				}
			}
		})
	}
}

// TestProxyHeaderIsNotBelieved: what comes from others is not even looked at.
func TestProxyHeaderIsNotBelieved(t *testing.T) {
	const in = "PROXY TCP4 192.0.2.7 10.0.0.1 50123 443\r\n"
	for _, remote := range []net.Addr{&net.TCPAddr{IP: net.IPv4(11, 0, 0, 1), Port: 1}, &net.UnixAddr{Net: "unix"}} {
		c, refused := behindProxy(t, &script{r: strings.NewReader(in), remote: remote})
		got, err := io.ReadAll(c)
		if string(got) != in || err != nil || c.RemoteAddr() != remote || len(*refused) > 0 {
			t.Errorf("%v: read %q, %v from %v, refused %v", remote, got, err, c.RemoteAddr(), *refused)
		}
	}
}

// TestProxyAsksWhetherWeAreThere: a connection that says nothing and ends is no
// mistake of the proxy's.
func TestProxyAsksWhetherWeAreThere(t *testing.T) {
	c, refused := behindProxy(t, &script{r: strings.NewReader(""), remote: proxyAddr})
	if _, err := c.Read(make([]byte, 1)); err != io.EOF || len(*refused) > 0 {
		t.Errorf("%v, refused %v", err, *refused)
	}
}

func TestProxyHeaderThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c, refused := behindProxy(t, &script{Conn: near, r: near, remote: proxyAddr})
		began := time.Now()
		go far.Write([]byte("PROXY TCP4 192"))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("read")
		}
		if d := time.Since(began); d != time.Minute {
			t.Errorf("after %v", d)
		}
		if len(*refused) != 1 || !strings.Contains((*refused)[0].Error(), "within 1m0s") {
			t.Error(*refused)
		}
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the proxy reads %v", err)
		}
	})
}

func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 10.0.0.1 50123 443\r\nrest"))
	f.Add([]byte("PROXY UNKNOWN\r\nrest"))
	f.Add([]byte(v2(f, proxyproto.PROXY, 9) + "rest"))
	f.Add([]byte(v2(f, proxyproto.LOCAL, 0) + "rest"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var first string
		for i, split := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader} {
			c, _ := behindProxy(t, &script{r: split(bytes.NewReader(in)), remote: proxyAddr})
			rest, err := io.ReadAll(c)
			got := c.RemoteAddr().String() + string(rest)
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				got += err.Error()
			}
			if !bytes.HasSuffix(in, rest) || err == nil && len(rest) > 0 && len(in)-len(rest) < 15 {
				t.Errorf("%q is left of %q: %v", rest, in, err)
			}
			if i == 0 {
				first = got
			} else if got != first {
				t.Errorf("in one piece %q, in many %q", first, got)
			}
		}
	})
}
