//go:build linux

package server

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/troupe-actors/troupe/cmd/bench/internal/raw"
)

// floorBacklogBytes is what may wait for a subscriber before it is dropped.
const floorBacklogBytes = 4 << 20

// read takes what has arrived, and reports whether the connection goes on.
func (f *floor) read(fd int) bool {
	c := f.conns[fd]
	n, err := raw.Read(fd, f.buf)
	if err == unix.EAGAIN {
		return true
	}
	if err != nil || n == 0 {
		return false
	}
	b := f.buf[:n]
	if len(c.in) > 0 {
		b = append(c.in, b...)
	}
	used, ok := 0, false
	if c.kind == floorHTTP {
		used, ok = f.requests(fd, c, b)
	} else {
		used, ok = f.frames(fd, c, b)
	}
	if !ok || len(b)-used > 2*maxMessageBytes {
		return false
	}
	if used == len(b) {
		c.in = nil
	} else {
		c.in = bytes.Clone(b[used:])
	}
	return true
}

// frames echoes the whole frames of b in one write: they are unmasked where they
// lie, and moved to the front, since their headers lose the mask.
func (f *floor) frames(fd int, c *floorConn, b []byte) (used int, ok bool) {
	out := 0 // b[:out] is what goes back
	for {
		rest := b[used:]
		head, size, ok := frameSize(rest)
		if !ok {
			return used, false
		}
		whole := head + 4 + size
		if head == 0 || len(rest) < whole {
			return used, out == 0 || f.write(fd, b[:out])
		}
		payload := rest[head+4 : whole]
		ws.Cipher(payload, [4]byte(rest[head:head+4]), 0)
		used += whole
		switch op := ws.OpCode(rest[0] & 0xf); {
		case op == ws.OpClose:
			_, _ = raw.Write(fd, append([]byte{0x88, byte(len(payload))}, payload...))
			return used, false
		case op == ws.OpPong || c.kind != floorEcho:
			continue
		case op == ws.OpPing:
			rest[0] = 0x80 | byte(ws.OpPong)
		}
		rest[1] &= 0x7f
		out += copy(b[out:], rest[:head])
		out += copy(b[out:], payload)
	}
}

// frameSize is how long the header of a client's frame is, without its mask, and
// how long its payload: 0 if that has not arrived. Not ok is a frame that must
// not be.
func frameSize(b []byte) (head, size int, ok bool) {
	if len(b) < 2 {
		return 0, 0, true
	}
	head, size = 2, int(b[1]&0x7f)
	switch {
	case size == 126 && len(b) >= 4:
		head, size = 4, int(binary.BigEndian.Uint16(b[2:]))
	case size == 127 && len(b) >= 10:
		head, size = 10, int(binary.BigEndian.Uint64(b[2:]))
	case size >= 126:
		return 0, 0, true
	}
	return head, size, b[1]&0x80 != 0 && size >= 0 && size <= maxMessageBytes
}

// write sends b, which the caller may use again, behind what waits already.
func (f *floor) write(fd int, b []byte) bool {
	c := f.conns[fd]
	if len(c.out) > 0 {
		c.out = append(c.out, b...)
		return len(c.out) <= floorBacklogBytes
	}
	n, err := raw.Write(fd, b)
	if err != nil && err != unix.EAGAIN {
		return false
	}
	if n = max(n, 0); n < len(b) {
		c.out = bytes.Clone(b[n:])
		return f.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN|unix.EPOLLOUT) == nil
	}
	return true
}

// flush goes on with what waits.
func (f *floor) flush(fd int) bool {
	c := f.conns[fd]
	n, err := raw.Write(fd, c.out)
	if err == unix.EAGAIN {
		return true
	}
	if err != nil {
		return false
	}
	if c.out = c.out[n:]; len(c.out) > 0 {
		return true
	}
	c.out = nil
	return f.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN) == nil
}

// requests answers the whole requests of b: the one that makes the connection a
// WebSocket, or those of whoever steers the server.
func (f *floor) requests(fd int, c *floorConn, b []byte) (used int, ok bool) {
	for {
		head, _, whole := bytes.Cut(b[used:], []byte("\r\n\r\n"))
		if !whole {
			return used, true
		}
		used += len(head) + 4
		line, fields, _ := bytes.Cut(head, []byte("\r\n"))
		method, target, _ := strings.Cut(string(line), " ")
		target, _, _ = strings.Cut(target, " ")
		path, query, _ := strings.Cut(target, "?")
		switch method + " " + path {
		case "GET /echo", "GET /sub":
			key := field(fields, "sec-websocket-key")
			if key == "" {
				return used, false
			}
			c.kind = floorEcho
			if path == "/sub" {
				c.kind = floorSub
				q, _ := url.ParseQuery(query)
				if c.uid = q.Get("uid"); c.uid != "" {
					f.users[c.uid] = fd
				}
			}
			f.add(1)
			return used, f.write(fd, upgraded(key))
		case "POST /publish", "POST /send":
			p, err := parsePlan(query)
			if err != nil || (path == "/send") != (p.uids > 0) {
				return used, f.respond(fd, "400 Bad Request", nil)
			}
			f.jobs = append(f.jobs, &floorJob{plan: p, fd: fd, due: time.Now()})
		case "GET /stats":
			s := look(strings.Contains(query, "gc=1"))
			s.Conns = f.Conns()
			body, _ := json.Marshal(s)
			if !f.respond(fd, "200 OK", body) {
				return used, false
			}
		default:
			return used, f.respond(fd, "404 Not Found", nil)
		}
	}
}

// respond answers a request that stays one. Whoever asked for a job may have gone
// by the time it is done.
func (f *floor) respond(fd int, status string, body []byte) bool {
	if c := f.conns[fd]; c == nil || c.kind != floorHTTP {
		return true
	}
	if body == nil && strings.HasPrefix(status, "204") {
		return f.write(fd, []byte("HTTP/1.1 204 No Content\r\n\r\n"))
	}
	return f.write(fd, fmt.Appendf(nil, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body))
}

// field is the value of a header field, whose name is given in lower case.
func field(fields []byte, name string) string {
	for line := range bytes.SplitSeq(fields, []byte("\r\n")) {
		k, v, _ := bytes.Cut(line, []byte(":"))
		if len(k) == len(name) && strings.EqualFold(string(k), name) {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}

// upgraded is the response to a handshake (RFC 6455 §4.2.2).
func upgraded(key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	b := []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
	b = base64.StdEncoding.AppendEncode(b, sum[:])
	return append(b, "\r\n\r\n"...)
}
