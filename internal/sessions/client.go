package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
)

// peer is one client's connection.
type peer struct {
	net.Conn
	r     *bufio.Reader
	heard uint64 // numbered messages
}

// play is the clients' process: it connects, says so, and holds its connections
// until its standard input ends; if it is to echo, it does that for a while when
// it is told to, and says how many came back.
func play(addr, path string, conns int, echo time.Duration) error {
	peers := make([]*peer, conns)
	for i := range peers {
		p, err := dial(addr, path, i)
		if err != nil {
			return err
		}
		peers[i] = p
	}
	if echo == 0 {
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}
	fmt.Println("ready")
	var word string
	if _, err := fmt.Scan(&word); err != nil {
		return err
	}
	message := "\"" + strings.Repeat("x", 119) + "\""
	if path == "/events" {
		message = "e echo " + message
	}
	until := time.Now().Add(echo)
	var n atomic.Int64
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	for _, p := range peers {
		all.Go(func() {
			for time.Now().Before(until) {
				if err := p.echo(message, path == "/events"); err != nil {
					failed.Store(&err)
					return
				}
				n.Add(1)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	fmt.Println(n.Load())
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// dial opens a WebSocket.
func dial(addr, path string, i int) (*peer, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	hello := &protocol.ClientHello{V: protocol.Version, Client: fmt.Sprint(i)}
	sub, err := hello.Subprotocol()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
		"Sec-WebSocket-Protocol: %s, %s\r\nOrigin: http://%s\r\n\r\n", path, addr, protocol.JSON, sub, addr)
	p := &peer{Conn: conn, r: bufio.NewReaderSize(conn, 512)}
	status, err := p.r.ReadString('\n')
	if err != nil || !strings.Contains(status, "101") {
		return nil, fmt.Errorf("%q, %w", status, err)
	}
	for line := "-"; len(strings.TrimSpace(line)) > 0; {
		if line, err = p.r.ReadString('\n'); err != nil {
			return nil, err
		}
	}
	if path == "/events" {
		_, err = p.read() // hello
	}
	return p, err
}

// write sends a text frame, masked with zeros.
func (p *peer) write(s string) error {
	head := []byte{0x81, 0x80 | byte(len(s))}
	if len(s) > 125 {
		head = binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(s)))
	}
	_, err := p.Write(append(append(head, 0, 0, 0, 0), s...))
	return err
}

// read is the payload of the next frame.
func (p *peer) read() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(p.r, head[:2]); err != nil {
		return nil, err
	}
	n := int(head[1] & 0x7f)
	if n == 126 {
		if _, err := io.ReadFull(p.r, head[2:4]); err != nil {
			return nil, err
		}
		n = int(binary.BigEndian.Uint16(head[2:4]))
	}
	if head[0] == 0x88 || n == 127 {
		return nil, errors.New("the server closes, or says more than this client understands")
	}
	b := make([]byte, n)
	_, err := io.ReadFull(p.r, b)
	return b, err
}

// echo sends a message and waits until it is back.
func (p *peer) echo(message string, events bool) error {
	if err := p.write(message); err != nil {
		return err
	}
	for {
		b, err := p.read()
		if err != nil {
			return err
		}
		if !events || b[0] == 'e' {
			break
		}
	}
	if p.heard++; events && p.heard%128 == 0 {
		return p.write(fmt.Sprint("a ", p.heard))
	}
	return nil
}
