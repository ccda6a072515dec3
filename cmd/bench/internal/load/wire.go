//go:build linux

package load

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/cmd/bench/internal/clock"
	"github.com/troupe-actors/troupe/cmd/bench/internal/server"
)

const (
	key       = "dGhlIHNhbXBsZSBub25jZQ=="     // that of RFC 6455 §1.3
	accept    = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" // and its answer
	extension = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
)

// request is what client i asks for, as a browser would.
func (f *fleet) request(i int) []byte { return request(f.spec, f.host, i) }

func request(s Spec, host string, i int) []byte {
	path := "/echo"
	if s.Kind == Fanout || s.Kind == Send || s.SSE || i >= s.Conns {
		path = "/sub"
	}
	b := fmt.Appendf(nil, "GET %s?uid=user-%d HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n", path, i, host)
	if s.SSE {
		return append(b, "Accept: text/event-stream\r\n\r\n"...)
	}
	scheme := "http"
	if s.TLS {
		scheme = "https"
	}
	b = fmt.Appendf(b, "Origin: %s://%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", scheme, host, key)
	if s.Deflate {
		b = fmt.Appendf(b, "Sec-WebSocket-Extensions: %s\r\n", extension)
	}
	return append(b, "\r\n"...)
}

// answer is how long the head of the response is, 0 if it is not whole.
func (f *fleet) answer(b []byte) (int, error) { return answer(f.spec, b) }

func answer(s Spec, b []byte) (int, error) {
	head, _, whole := bytes.Cut(b, []byte("\r\n\r\n"))
	if !whole {
		return 0, nil
	}
	status, want := "HTTP/1.1 101", accept
	if s.SSE {
		status, want = "HTTP/1.1 200", "text/event-stream"
	}
	if !bytes.HasPrefix(head, []byte(status)) || !bytes.Contains(head, []byte(want)) ||
		s.Deflate != bytes.Contains(head, []byte("permessage-deflate")) {
		return 0, fmt.Errorf("the server's answer was %q", head)
	}
	return len(head) + 4, nil
}

// volley is Depth messages of a client, each a binary frame.
func volley(s Spec) []byte {
	payload := server.Filler(s.Size)
	header := ws.Header{Fin: true, OpCode: ws.OpBinary, Masked: true, Mask: [4]byte{1, 2, 3, 4}}
	if s.Deflate {
		payload = deflated(payload)
		header.Rsv = ws.Rsv(true, false, false)
	}
	header.Length = int64(len(payload))
	ws.Cipher(payload, header.Mask, 0)
	var frame bytes.Buffer
	_ = ws.WriteHeader(&frame, header) // a Buffer takes everything
	frame.Write(payload)
	return bytes.Repeat(frame.Bytes(), s.Depth)
}

// deflated is a message as permessage-deflate has it (RFC 7692 §7.2.1).
func deflated(b []byte) []byte {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		panic(err) // only for a level that there is not
	}
	_, _ = w.Write(b)
	_ = w.Flush()
	return bytes.TrimSuffix(out.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// goodbye is a close frame with 1000.
var goodbye = ws.MustCompileFrame(ws.MaskFrameWith(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")), [4]byte{1, 2, 3, 4}))

// reader takes the messages from b, and returns how much of it that was.
type reader func(f *fleet, c *client, b []byte, now int64) int

// readFrames reads a WebSocket.
func readFrames(f *fleet, c *client, b []byte, now int64) (used int) {
	for c.state != shut {
		rest := b[used:]
		op, payload, whole := nextFrame(rest)
		if whole == 0 {
			return used
		}
		used += whole
		switch op {
		case ws.OpBinary, ws.OpText, ws.OpContinuation:
			if rest[0]&0x80 != 0 {
				f.player.message(c, payload, now)
			}
		case ws.OpPing:
			f.write(c, ws.MustCompileFrame(ws.MaskFrame(ws.NewPongFrame(bytes.Clone(payload)))))
		case ws.OpClose:
			f.lose(c)
			return len(b)
		}
	}
	return used
}

// nextFrame is the first frame of b and how long it is, 0 if it is not whole.
func nextFrame(b []byte) (op ws.OpCode, payload []byte, whole int) {
	if len(b) < 2 {
		return 0, nil, 0
	}
	head, size := 2, int(b[1])
	switch {
	case size == 126 && len(b) >= 4:
		head, size = 4, int(binary.BigEndian.Uint16(b[2:]))
	case size == 127 && len(b) >= 10:
		head, size = 10, int(binary.BigEndian.Uint64(b[2:]))
	case size >= 126:
		return 0, nil, 0
	}
	if len(b)-head < size {
		return 0, nil, 0
	}
	return ws.OpCode(b[0] & 0xf), b[head : head+size], head + size
}

// readEvents reads server-sent events of one line of data each, out of the chunks
// of a response (RFC 9112 §7.1) or of one without.
func readEvents(f *fleet, c *client, b []byte, now int64) (used int) {
	for used < len(b) {
		if c.chunk == 0 {
			line, _, whole := bytes.Cut(b[used:], []byte("\r\n"))
			if !whole {
				return used
			}
			used += len(line) + 2
			if len(line) == 0 {
				continue // the end of the chunk before
			}
			size, err := strconv.ParseUint(string(line), 16, 31)
			if err != nil || size == 0 {
				f.lose(c)
				return used
			}
			c.chunk = int(size)
		}
		n := min(c.chunk, len(b)-used)
		part := b[used : used+n]
		if len(c.part) > 0 {
			part = append(c.part, part...)
		}
		left := f.tell(c, part, now)
		c.part = append(c.part[:0:0], left...)
		used += n
		c.chunk -= n
	}
	return used
}

// tell tells the player of the whole events in b, and returns the rest.
func (f *fleet) tell(c *client, b []byte, now int64) []byte {
	var stamp [clock.StampBytes]byte
	for {
		event, rest, whole := bytes.Cut(b, []byte("\n\n"))
		if !whole {
			return b
		}
		b = rest
		data, ok := bytes.CutPrefix(event, []byte("data:"))
		if data = bytes.TrimPrefix(data, []byte(" ")); !ok || len(data) < 2*len(stamp) {
			continue // a comment, a field
		}
		if _, err := hex.Decode(stamp[:], data[:2*len(stamp)]); err == nil {
			f.player.message(c, stamp[:], now)
		}
	}
}
