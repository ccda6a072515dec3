package actorstest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// Option says how a client connects, and over what a link.
type Option func(*dial)

type dial struct {
	name      string
	ip        net.IP
	method    string
	body      string
	header    http.Header
	buffer    int
	split     bool
	rate      int
	cutWithin int
	mute      bool
}

var defaultIP = net.IPv4(198, 51, 100, 1) // RFC 5737 §3

// Name is what failures call the client. Default: its target and a number.
func Name(name string) Option { return func(d *dial) { d.name = name } }

// From is the client's address, "198.51.100.1" by default.
func From(ip string) Option {
	addr := net.ParseIP(ip)
	if addr == nil {
		panic(fmt.Sprintf("actorstest: From: %q is no IP address", ip))
	}
	return func(d *dial) { d.ip = addr }
}

// Header adds a field to the request.
func Header(key, value string) Option { return func(d *dial) { d.header.Add(key, value) } }

// Cookie adds a cookie to the request.
func Cookie(name, value string) Option {
	return Header("Cookie", (&http.Cookie{Name: name, Value: value}).String())
}

// Method makes a stream's request another than a GET.
func Method(method, body string) Option {
	return func(d *dial) { d.method, d.body = method, body }
}

// Compressed offers permessage-deflate. If the server agrees, Send compresses.
func Compressed() Option {
	return Header("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
}

// Buffer is how many bytes the link holds in each direction, sent and not yet
// read. Default 64 KiB.
func Buffer(bytes int) Option { return func(d *dial) { d.buffer = bytes } }

// Split has every read of either side get no more than a random piece of what has
// arrived.
func Split() Option { return func(d *dial) { d.split = true } }

// Slow bounds how many bytes a second arrive, in each direction.
func Slow(bytesPerSecond int) Option { return func(d *dial) { d.rate = bytesPerSecond } }

// CutWithin breaks the link at a random byte of the first n, those of the handshake
// included and in whichever direction.
func CutWithin(n int) Option { return func(d *dial) { d.cutWithin = n } }

// Mute has the client answer neither pings nor a close.
func Mute() Option { return func(d *dial) { d.mute = true } }

// Usually has all clients that connect from now on begin with these options.
func (s *Sim) Usually(options ...Option) { s.usual = options }

func (s *Sim) options(options []Option) *dial {
	d := &dial{ip: defaultIP, method: http.MethodGet, header: http.Header{}}
	for _, list := range [][]Option{s.usual, options} {
		for _, o := range list {
			o(d)
		}
	}
	return d
}

// request is what the client asks for.
func (d *dial) request(target string) (*http.Request, error) {
	var body io.Reader
	if d.body != "" {
		body = strings.NewReader(d.body)
	}
	r, err := http.NewRequest(d.method, "http://troupe.test"+target, body)
	if err == nil {
		r.Header = d.header
	}
	return r, err
}
