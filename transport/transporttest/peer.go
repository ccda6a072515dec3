package transporttest

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/troupe-actors/troupe/transport"
)

// Peer is the client's end of a WebSocket. One goroutine may read while others
// write. A test that does not read is a slow consumer.
type Peer struct {
	conn net.Conn

	read *bufio.Reader // owned by the goroutine that reads

	// Nil: none. Its two halves belong to the one that reads and the one that
	// compresses.
	compression *compression

	mu sync.Mutex // a frame is written whole
}

// NewPeer makes a client of a connection whose handshake is done. What was read
// ahead is in br, which may be nil.
func NewPeer(conn net.Conn, br *bufio.Reader) *Peer {
	if br == nil {
		br = bufio.NewReader(conn)
	}
	return &Peer{conn: conn, read: br}
}

// Pair is Config.MemoryPair with a Peer at the other end. It works inside
// testing/synctest.
func Pair(c *transport.Config, bufferBytes int) (transport.Link, *Peer) {
	l, conn := c.MemoryPair(bufferBytes)
	// A reader that takes everything at once would hide the bound of the pipe.
	return l, NewPeer(conn, bufio.NewReaderSize(conn, 16))
}

// Conn is the connection below.
func (p *Peer) Conn() net.Conn { return p.conn }

// mask is fixed, so that what goes over the wire can be repeated.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// WriteText sends a text message in one frame.
func (p *Peer) WriteText(s string) error {
	return p.WriteFrame(ws.NewTextFrame([]byte(s)))
}

// WriteBinary sends a binary message in one frame.
func (p *Peer) WriteBinary(b []byte) error {
	return p.WriteFrame(ws.NewBinaryFrame(b))
}

// WritePing sends a ping.
func (p *Peer) WritePing(b []byte) error {
	return p.WriteFrame(ws.NewPingFrame(b))
}

// WriteFrame masks a copy of the frame and sends it with the header as given,
// length and all, even if it breaks a rule.
func (p *Peer) WriteFrame(f ws.Frame) error {
	return p.WriteRaw(Encode(f))
}

// Encode is the bytes of a frame as a client sends it.
func Encode(f ws.Frame) []byte {
	b, err := ws.CompileFrame(ws.MaskFrameWith(f, mask))
	if err != nil {
		panic(fmt.Sprintf("transporttest: encode frame: %v", err)) // only for a negative length
	}
	return b
}

// WriteRaw sends bytes as they are.
func (p *Peer) WriteRaw(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.conn.Write(b); err != nil {
		return fmt.Errorf("transporttest: write: %w", err)
	}
	return nil
}

// ReadFrame reads one frame, whatever it is. It fails when the server masked it
// (RFC 6455 §5.1).
func (p *Peer) ReadFrame(ctx context.Context) (ws.Frame, error) {
	stop := context.AfterFunc(ctx, func() { _ = p.conn.SetReadDeadline(time.Unix(1, 0)) })
	f, err := p.readFrame()
	if !stop() {
		// The deadline was, or is just being, set: this Peer cannot go on.
		if err != nil {
			err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
	}
	return f, err
}

func (p *Peer) readFrame() (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(p.read); err != nil {
		return f, fmt.Errorf("transporttest: read: %w", err)
	}
	if f.Header.Masked {
		return f, fmt.Errorf("transporttest: the server masked a frame")
	}
	f.Payload = make([]byte, f.Header.Length)
	if _, err = io.ReadFull(p.read, f.Payload); err != nil {
		return f, fmt.Errorf("transporttest: read payload: %w", err)
	}
	return f, nil
}

// CloseError is the server's close frame.
type CloseError struct {
	Code   uint16 // 1005 when the frame was empty
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("transporttest: closed by the server: %d %q", e.Code, e.Reason)
}

// ReadMessage reads a whole message, compressed or not, answers pings on the way and passes over
// pongs. The server's close frame is a *CloseError; it is not answered.
func (p *Peer) ReadMessage(ctx context.Context) (transport.Opcode, []byte, error) {
	var op ws.OpCode
	var compressed bool
	var data []byte
	for {
		f, err := p.ReadFrame(ctx)
		if err != nil {
			return 0, nil, err
		}
		switch f.Header.OpCode {
		case ws.OpPing:
			if err := p.WriteFrame(ws.NewPongFrame(f.Payload)); err != nil {
				return 0, nil, err
			}
			continue
		case ws.OpPong:
			continue
		case ws.OpClose:
			return 0, nil, ParseClose(f.Payload)
		case ws.OpText, ws.OpBinary:
			op, compressed = f.Header.OpCode, f.Header.Rsv1()
		}
		data = append(data, f.Payload...)
		if !f.Header.Fin {
			continue
		}
		if compressed {
			data, err = p.Inflate(data)
		}
		return transport.Opcode(op), data, err
	}
}

// ParseClose reads the payload of a close frame.
func ParseClose(b []byte) *CloseError {
	if len(b) < 2 {
		return &CloseError{Code: 1005}
	}
	return &CloseError{Code: binary.BigEndian.Uint16(b), Reason: string(b[2:])}
}

// Close sends a close frame, empty when code is 0 or 1005. The connection stays
// open.
func (p *Peer) Close(code uint16, reason string) error {
	var body []byte
	if code != 0 && code != 1005 {
		body = append(binary.BigEndian.AppendUint16(nil, code), reason...)
	}
	return p.WriteFrame(ws.NewCloseFrame(body))
}

// CloseWrite ends the client's direction of the connection.
func (p *Peer) CloseWrite() error {
	c, ok := p.conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("transporttest: a %T cannot be half-closed", p.conn)
	}
	return c.CloseWrite()
}

// Disconnect closes the connection without a word.
func (p *Peer) Disconnect() error { return p.conn.Close() }

// Reset tears the connection, so that the server gets an error and not an end.
func (p *Peer) Reset() error {
	switch c := p.conn.(type) {
	case *transport.MemoryConn:
		return c.Reset()
	case interface{ SetLinger(int) error }:
		if err := c.SetLinger(0); err != nil {
			return fmt.Errorf("transporttest: reset: %w", err)
		}
	}
	return p.conn.Close()
}
