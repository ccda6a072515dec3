package client

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/events/protocol"
)

// webSocket is a link over a WebSocket. The handshake is net/http's, so that proxies,
// TLS, cookies and refusals are; frames are read and written here.
type webSocket struct {
	conn   io.ReadWriteCloser
	cancel context.CancelCauseFunc

	// Owned by the goroutine that reads.
	in    *bufio.Reader
	head  [ws.MaxHeaderSize]byte
	amid  []byte // a ping that came amid fragments
	ended error  // what read will return next
	limit int64  // bytes of a message

	// A batch of frames is written whole, and a close frame behind it.
	mu  sync.Mutex
	buf []byte // guarded by mu

	once sync.Once
}

const (
	// mostHello bounds the server's hello, and mostMessage its messages.
	mostHello   = 1 << 20
	mostMessage = 64 << 20

	// keepBuffer is the largest buffer that is kept for the next batch.
	keepBuffer = 64 << 10

	// lastWords is how long a goodbye may take to be written.
	lastWords = time.Second
)

func (o *opener) openWebSocket(ctx context.Context, cancel context.CancelCauseFunc) (link, inbound, error) {
	offered, err := o.hello.Subprotocol()
	if err != nil {
		return nil, inbound{}, err
	}
	r, err := o.c.request(ctx, http.MethodGet, nil)
	if err != nil {
		return nil, inbound{}, err
	}
	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	codec := o.c.opts.subprotocol()
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", key)
	r.Header.Set("Sec-WebSocket-Protocol", codec+", "+offered)
	resp, err := o.c.http.Do(r)
	if err != nil {
		return nil, inbound{}, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, inbound{}, refusedBy(resp)
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	switch {
	case !ok:
		resp.Body.Close()
		return nil, inbound{}, fmt.Errorf("%w: the HTTP client does not upgrade", errProtocol)
	case !strings.EqualFold(resp.Header.Get("Upgrade"), "websocket"),
		!strings.EqualFold(resp.Header.Get("Connection"), "upgrade"),
		resp.Header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]),
		resp.Header.Get("Sec-WebSocket-Extensions") != "",
		resp.Header.Get("Sec-WebSocket-Protocol") != codec:
		conn.Close()
		return nil, inbound{}, fmt.Errorf("%w: a handshake that is not of the client's", errProtocol)
	}
	w := &webSocket{conn: conn, cancel: cancel, in: bufio.NewReader(conn), limit: mostHello}
	// An upgraded connection is no part of its request any more.
	context.AfterFunc(ctx, func() { conn.Close() })
	for {
		m, err := w.message()
		if err != nil || !m.ping {
			return w, m, err
		}
		w.write([]*outgoing{{pong: true, text: m.text}})
	}
}

func (w *webSocket) begin(protocol.ServerHello) { w.limit = mostMessage }

func (w *webSocket) read() (incoming, error) {
	if w.ended != nil {
		return incoming{}, w.ended
	}
	m, err := w.message()
	if err != nil {
		return incoming{}, err
	}
	batch := incoming{messages: []inbound{m}}
	// What has been read already belongs to it.
	for w.ended == nil && w.whole() && len(batch.messages) < 64 {
		if m, w.ended = w.message(); w.ended == nil {
			batch.messages = append(batch.messages, m)
		}
	}
	if w.amid != nil {
		batch.messages = append(batch.messages, inbound{text: w.amid, ping: true})
		w.amid = nil
	}
	return batch, nil
}

// whole reports whether a frame that ends a message is in the buffer.
func (w *webSocket) whole() bool {
	b, _ := w.in.Peek(w.in.Buffered())
	if len(b) < 2 || b[0]&0x80 == 0 || b[0]&0x0f > 2 {
		return false
	}
	switch n := int(b[1]); {
	case n < 126:
		return len(b) >= 2+n
	case n == 126:
		return len(b) >= 4 && len(b) >= 4+int(binary.BigEndian.Uint16(b[2:]))
	}
	return false
}

// message reads a message, or a ping on the way.
func (w *webSocket) message() (m inbound, err error) {
	fragments := false
	for {
		h, err := ws.ReadHeaderBuffer(w.in, w.head[:])
		if err != nil {
			return m, err
		}
		control := h.OpCode.IsControl()
		switch {
		case h.Masked, h.Rsv != 0, h.OpCode.IsReserved(),
			control && (!h.Fin || h.Length > 125),
			!control && (h.OpCode == ws.OpContinuation) != fragments:
			return m, fmt.Errorf("%w: a frame that must not be (RFC 6455 §5)", errProtocol)
		case !control && int64(len(m.text))+h.Length > w.limit:
			return m, fmt.Errorf("%w: a message of more than %d bytes", errProtocol, w.limit)
		}
		if control {
			body := make([]byte, h.Length)
			if _, err := io.ReadFull(w.in, body); err != nil {
				return m, err
			}
			switch {
			case h.OpCode == ws.OpClose:
				return m, closeOf(body)
			case h.OpCode == ws.OpPing && fragments:
				w.amid = body
			case h.OpCode == ws.OpPing:
				return inbound{text: body, ping: true}, nil
			}
			continue
		}
		if h.OpCode != ws.OpContinuation {
			m.binary = h.OpCode == ws.OpBinary
		}
		if m.text, err = appendFrom(m.text, w.in, int(h.Length)); err != nil {
			return m, err
		}
		if h.Fin {
			return m, nil
		}
		fragments = true
	}
}

// appendFrom reads n bytes behind b, without trusting n before they come.
func appendFrom(b []byte, r io.Reader, n int) ([]byte, error) {
	for n > 0 {
		part := min(n, 64<<10)
		at := len(b)
		b = append(b, make([]byte, part)...)
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return b, err
		}
		n -= part
	}
	return b, nil
}

// closeOf is what a close frame says (RFC 6455 §5.5.1).
func closeOf(body []byte) error {
	b := protocol.Bye{Code: 1005}
	if len(body) >= 2 {
		b.Code, b.Reason = binary.BigEndian.Uint16(body), string(body[2:])
	}
	return &bye{b}
}

func (w *webSocket) write(messages []*outgoing) (incoming, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.buf[:0]
	for _, m := range messages {
		op := ws.OpText
		switch {
		case m.pong:
			op = ws.OpPong
		case m.binary:
			op = ws.OpBinary
		}
		b = appendFrame(b, op, m.text)
		if m.last {
			b = appendFrame(b, ws.OpClose, closeBody(1000))
		}
		if len(b) >= keepBuffer {
			if _, err := w.conn.Write(b); err != nil {
				return incoming{}, err
			}
			b = b[:0]
		}
	}
	_, err := w.conn.Write(b)
	if cap(b) <= keepBuffer {
		w.buf = b
	} else {
		w.buf = nil
	}
	return incoming{}, err
}

// appendFrame is a masked frame, whole (RFC 6455 §5.2).
func appendFrame(b []byte, op ws.OpCode, payload []byte) []byte {
	b = append(b, 0x80|byte(op))
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := ws.NewMask()
	b = append(append(b, mask[:]...), payload...)
	ws.Cipher(b[len(b)-len(payload):], mask, 0)
	return b
}

func closeBody(code uint16) []byte { return binary.BigEndian.AppendUint16(nil, code) }

func (w *webSocket) close(code uint16) {
	w.once.Do(func() {
		// A writer that is stuck is not waited for.
		if code != 0 && w.mu.TryLock() {
			late := time.AfterFunc(lastWords, func() { w.conn.Close() })
			w.conn.Write(appendFrame(nil, ws.OpClose, closeBody(code)))
			late.Stop()
			w.mu.Unlock()
		}
		w.conn.Close()
		w.cancel(nil)
	})
}
