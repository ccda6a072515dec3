package transport_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/troupe-actors/troupe/transport"
)

// copying keeps a descriptor of its own of each socket that is accepted.
type copying struct {
	net.Listener
	files chan *os.File
}

func (l copying) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	f, err := c.(*net.TCPConn).File()
	l.files <- f
	return c, err
}

// TestNotSentIsBounded: the kernel takes little more for a link than it can send.
func TestNotSentIsBounded(t *testing.T) {
	for _, w := range ways[:2] {
		for _, secure := range []bool{false, true} {
			if secure && w.driver == transport.DriverPoller {
				continue
			}
			t.Run(fmt.Sprintf("%s, TLS %v", w.name, secure), func(t *testing.T) {
				files := make(chan *os.File, 1)
				wrap := func(l net.Listener) net.Listener { return copying{l, files} }
				s := &http.Server{Handler: streams(t, w, transport.FramingStream, func(o *owner, _ *http.Request) {
					f := <-files
					defer f.Close()
					n, err := unix.GetsockoptInt(int(f.Fd()), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
					if n != 128<<10 || err != nil {
						t.Error(n, err)
					}
				})}
				var c net.Conn
				var err error
				if secure {
					addr, config := serveTLSAt(t, s, wrap)
					c, err = tls.Dial("tcp", addr, config)
				} else {
					l, e := net.Listen("tcp", "127.0.0.1:0")
					if e != nil {
						t.Fatal(e)
					}
					serveUntilEnd(t, s, wrap(l))
					c, err = net.Dial("tcp", l.Addr().String())
				}
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				fmt.Fprint(c, "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				buf := make([]byte, 1)
				c.Read(buf)
			})
		}
	}
}
