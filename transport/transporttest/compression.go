package transporttest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/gobwas/ws"
	"github.com/klauspost/compress/flate"

	"github.com/troupe-actors/troupe/transport"
)

// compression is what a Peer and the server have agreed on (RFC 7692).
type compression struct {
	serverTakeover, clientTakeover bool
	serverWindow, clientWindow     int

	read []byte // the end of what the server has said, if it may refer to it

	w   *flate.Writer // one for all messages, as clients have it
	out bytes.Buffer
}

// WithCompression offers permessage-deflate, or whatever the value of
// Sec-WebSocket-Extensions says. What the server answers is then used.
func WithCompression(offer string) Option {
	return func(d *dial) { d.header.Set("Sec-WebSocket-Extensions", offer) }
}

// UseCompression sets a Peer up as a server's Sec-WebSocket-Extensions says. Empty:
// none. DialPeer does it by itself.
func (p *Peer) UseCompression(response string) error {
	if response == "" {
		return nil
	}
	c := &compression{serverTakeover: true, clientTakeover: true, serverWindow: 1 << 15, clientWindow: 1 << 15}
	for i, param := range strings.Split(response, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		bits, err := strconv.Atoi(value)
		known := err == nil && bits >= 8 && bits <= 15 || value == ""
		switch {
		case i == 0 && key == "permessage-deflate":
		case key == "server_no_context_takeover" && value == "":
			c.serverTakeover = false
		case key == "client_no_context_takeover" && value == "":
			c.clientTakeover = false
		case key == "server_max_window_bits" && known && value != "":
			c.serverWindow = 1 << bits
		case key == "client_max_window_bits" && known && value != "":
			c.clientWindow = 1 << bits
		default:
			return fmt.Errorf("transporttest: extensions %q: no client understands %q", response, param)
		}
	}
	var err error
	if c.clientWindow == 1<<15 {
		c.w, err = flate.NewWriter(&c.out, flate.BestCompression)
	} else {
		c.w, err = flate.NewWriterWindow(&c.out, c.clientWindow)
	}
	p.compression = c
	return err
}

// Deflate is the payload of a compressed message. With context takeover it counts
// as sent. It panics if compression was not agreed on.
func (p *Peer) Deflate(data []byte) []byte {
	c := p.compression
	c.out.Reset()
	if !c.clientTakeover {
		c.w.Reset(&c.out)
	}
	_, _ = c.w.Write(data) // a bytes.Buffer takes everything
	_ = c.w.Flush()
	return bytes.Clone(c.out.Bytes()[:c.out.Len()-4])
}

// WriteCompressed sends a compressed message in one frame.
func (p *Peer) WriteCompressed(op transport.Opcode, data []byte) error {
	f := ws.NewFrame(ws.OpCode(op), true, p.Deflate(data))
	f.Header.Rsv = ws.Rsv(true, false, false)
	return p.WriteFrame(f)
}

// Inflate is what the payload of a compressed message of the server holds, all of
// its frames together. ReadMessage does it by itself.
func (p *Peer) Inflate(data []byte) ([]byte, error) {
	c := p.compression
	if c == nil {
		return nil, fmt.Errorf("transporttest: a compressed message, and no compression agreed on")
	}
	b, err := inflate(append(data, 0, 0, 0xff, 0xff), c.read, c.serverWindow)
	if c.serverTakeover {
		c.read = append(c.read, b...)
		c.read = c.read[max(0, len(c.read)-c.serverWindow):]
	}
	return b, err
}
