package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// overSockets is so many channels in several processes, with the clients of each in
// one more: a process has so many descriptors, and a server's port so many others.
func overSockets(n, each int) error {
	crew := make([]*pair, 0, (n+each-1)/each)
	defer func() {
		for _, p := range crew {
			p.kill()
		}
	}()
	slab, start := proc("/proc/meminfo", "Slab:"), time.Now()
	for left := n; left > 0; left -= each {
		p, err := newPair(min(left, each))
		if err != nil {
			return err
		}
		crew = append(crew, p)
		fmt.Fprintf(os.Stderr, "\r%d of %d open ", n-left+p.n, n)
	}
	fmt.Fprintln(os.Stderr)
	fmt.Printf("%d channels in %d processes, opened one process after the other in %.1f s\n", n, len(crew), time.Since(start).Seconds())
	var resident, heap, goroutines int
	for _, p := range crew {
		var f figures
		if err := p.ask("look", &f.resident, &f.heap, &f.goroutines); err != nil {
			return err
		}
		resident, heap, goroutines = resident+f.resident, heap+f.heap, goroutines+f.goroutines
	}
	fmt.Printf("each: %d resident bytes, %d heap bytes, %.4f goroutines; %d bytes of the kernel's for both ends\n",
		resident/n, heap/n, float64(goroutines)/float64(n), (proc("/proc/meminfo", "Slab:")-slab)/n)

	start = time.Now()
	for _, p := range crew { // all at once
		fmt.Fprintln(p.toServer, "greet")
	}
	for _, p := range crew {
		if err := p.heard(); err != nil {
			return err
		}
	}
	fmt.Printf("one broadcast, heard by all: %.2f s\n", time.Since(start).Seconds())

	start = time.Now()
	for _, p := range crew {
		fmt.Fprintln(p.toServer, "stop")
	}
	for _, p := range crew {
		if err := p.stopped(); err != nil {
			return err
		}
	}
	fmt.Printf("closed, each told once: %.2f s\n", time.Since(start).Seconds())
	return nil
}

// pair is a process that serves and one with its clients. They are told what to do on
// their standard input, a line at a time, and answer with one.
type pair struct {
	n                    int
	server, client       *exec.Cmd
	toServer             io.Writer
	fromServer, fromThem *bufio.Reader
}

func newPair(n int) (p *pair, err error) {
	p = &pair{n: n}
	if p.server, p.toServer, p.fromServer, err = child("-server", "-channels", strconv.Itoa(n)); err != nil {
		return nil, err
	}
	line, err := p.fromServer.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("a server: %w", err)
	}
	if p.client, _, p.fromThem, err = child("-client", line[:len(line)-1], "-channels", strconv.Itoa(n)); err != nil {
		return nil, err
	}
	if _, err := p.fromThem.ReadString('\n'); err != nil { // all are connected
		return nil, fmt.Errorf("a server's clients: %w", err)
	}
	return p, p.ask("join")
}

func child(args ...string) (*exec.Cmd, io.Writer, *bufio.Reader, error) {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	return cmd, in, bufio.NewReader(out), cmd.Start()
}

// ask has the server do something, and reads its answer.
func (p *pair) ask(what string, answer ...any) error {
	fmt.Fprintln(p.toServer, what)
	line, err := p.fromServer.ReadString('\n')
	if err != nil {
		return fmt.Errorf("a server, asked to %s: %w", what, err)
	}
	_, err = fmt.Sscan(line, answer...)
	if len(answer) == 0 {
		err = nil
	}
	return err
}

func (p *pair) heard() error {
	_, err1 := p.fromServer.ReadString('\n')
	_, err2 := p.fromThem.ReadString('\n')
	return errors.Join(err1, err2)
}

func (p *pair) stopped() error { return errors.Join(p.server.Wait(), p.client.Wait()) }

func (p *pair) kill() {
	for _, cmd := range []*exec.Cmd{p.server, p.client} {
		if cmd != nil && cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
		}
	}
}

// noProbes switches TCP's keepalive off. Go has every idle socket probe its peer every
// 15 seconds: of half a million, both ends of which are here, the kernel drops so many
// that some are given up.
const noProbes = -1

// serve is the process that serves n channels.
func serve(n int) error {
	h, err := newHouse(n)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{KeepAlive: noProbes}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: h.ep}
	go func() { _ = srv.Serve(l) }()
	before := look()
	fmt.Println(l.Addr())
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		switch orders.Text() {
		case "join":
			<-h.all
			err = h.join()
		case "look":
			f := look()
			fmt.Print(f.resident-before.resident, " ", f.heap-before.heap, " ", f.goroutines-before.goroutines)
		case "greet":
			err = h.greet()
		case "stop":
			_ = srv.Close()
			if err := h.rt.Stop(context.Background()); err != nil {
				return err
			}
			return h.check()
		}
		if err != nil {
			return err
		}
		fmt.Println()
	}
	return orders.Err()
}

// dial is the process with n clients.
func dial(address string, n int) error {
	conns := make([]net.Conn, n)
	dialer := net.Dialer{KeepAlive: noProbes}
	for i := range conns {
		var err error
		if conns[i], err = dialer.Dial("tcp", address); err != nil {
			return err
		}
		fmt.Fprintf(conns[i], "GET /?uid=%d HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
			"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nOrigin: http://%s\r\n\r\n", i, address, address)
		if err := answered(conns[i]); err != nil {
			return fmt.Errorf("client %d: %w", i, err)
		}
	}
	fmt.Println("connected")
	for i, conn := range conns {
		if err := hears(conn); err != nil {
			return fmt.Errorf("client %d did not hear the broadcast: %w", i, err)
		}
	}
	fmt.Println("heard")
	for i, conn := range conns {
		if err := leaves(conn); err != nil {
			return fmt.Errorf("client %d was not said goodbye to: %w", i, err)
		}
	}
	return nil
}

// answered reads the answer to an upgrade and nothing behind it.
func answered(conn net.Conn) error {
	var b [1024]byte
	for n := 0; n < 4 || string(b[n-4:n]) != "\r\n\r\n"; {
		k, err := conn.Read(b[n:])
		if err != nil {
			return err
		}
		n += k
	}
	if string(b[9:12]) != "101" {
		return fmt.Errorf("answered %q", b[:40])
	}
	return nil
}
