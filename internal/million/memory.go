package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/transport"
)

// inMemory is a million channels in one process. Their pipes are made first, and the
// names of their users, so that these are not counted with the channels.
func inMemory(n, most int) error {
	h, err := newHouse(n)
	if err != nil {
		return err
	}
	empty := look()
	var cfg transport.Config
	links, conns, users := make([]transport.Link, n), make([]*transport.MemoryConn, n), make([]string, n)
	start := time.Now()
	for i := range n {
		links[i], conns[i] = cfg.MemoryPair(0)
		users[i] = strconv.Itoa(i)
	}
	piped := look()
	since("pipes, their links and users", start, empty, piped, n)

	start = time.Now()
	for i := range n {
		if _, err := h.ep.Open(links[i], nil, users[i]); err != nil {
			return err
		}
	}
	<-h.all
	took := time.Now()
	opened := look()
	since("channels", start.Add(time.Since(took)), piped, opened, n)
	if each := (opened.heap - piped.heap) / n; most > 0 && each > most {
		return fmt.Errorf("a channel takes %d heap bytes, want at most %d", each, most)
	}

	start = time.Now()
	if err := h.join(); err != nil {
		return err
	}
	took = time.Now()
	joined := look()
	since("joined to a topic", start.Add(time.Since(took)), opened, joined, n)

	start = time.Now()
	if err := h.greet(); err != nil {
		return err
	}
	for i, conn := range conns {
		if err := hears(conn); err != nil {
			return fmt.Errorf("channel %d did not hear the broadcast: %w", i, err)
		}
	}
	took = time.Now()
	heard := look()
	since("one broadcast, heard by all", start.Add(time.Since(took)), joined, heard, n)
	fmt.Printf("%d channels, %d goroutines, %d MB resident\n", n, heard.goroutines, heard.resident>>20)

	start = time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- h.rt.Stop(context.Background()) }()
	for i, conn := range conns {
		if err := leaves(conn); err != nil {
			return fmt.Errorf("channel %d was not said goodbye to: %w", i, err)
		}
	}
	if err := <-stopped; err != nil {
		return err
	}
	took = time.Now()
	clear(links)
	clear(conns)
	closed := look()
	since("closed, each told once", start.Add(time.Since(took)), empty, closed, n)
	return h.check()
}

// frame reads a short one of the server's, which is not masked.
func frame(conn io.Reader) (op byte, payload string, err error) {
	var b [2 + 125]byte
	if _, err := io.ReadFull(conn, b[:2]); err != nil {
		return 0, "", err
	}
	if b[1] > 125 {
		return 0, "", fmt.Errorf("a frame that begins with % x", b[:2])
	}
	_, err = io.ReadFull(conn, b[2:2+b[1]])
	return b[0] & 0xf, string(b[2 : 2+b[1]]), err
}

// hears reads the greeting.
func hears(conn io.Reader) error {
	_, text, err := frame(conn)
	if err == nil && text != greeting {
		err = fmt.Errorf("a frame of %q", text)
	}
	return err
}

// goodbye answers the server's.
var goodbye = ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusGoingAway, ""))))

// leaves reads the server's goodbye, answers it and closes the connection.
func leaves(conn io.ReadWriteCloser) error {
	op, _, err := frame(conn)
	if err == nil && ws.OpCode(op) != ws.OpClose {
		err = fmt.Errorf("a frame with opcode %d", op)
	}
	if err == nil {
		_, err = conn.Write(goodbye)
	}
	if err != nil {
		return err
	}
	return conn.Close()
}
