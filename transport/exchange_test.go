package transport_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// exchange is everything that a server says on a connection on which the client
// says input, in pieces, and then waits for the end. It is to be called in a
// synctest bubble, where nobody has to wait for a client that says too little.
func exchange(t *testing.T, h http.Handler, input [][]byte) []byte {
	in, say := net.Pipe()
	hear, out := net.Pipe()
	l := newOnce(&halves{Conn: out, in: in})
	s := &http.Server{
		Handler:                      h,
		ReadTimeout:                  10 * time.Second,
		IdleTimeout:                  time.Minute,
		ErrorLog:                     log.New(io.Discard, "", 0),
		MaxHeaderBytes:               4 << 10,
		DisableGeneralOptionsHandler: true, // it would answer in our place
	}
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	wrote := make(chan bool)
	go func() {
		defer close(wrote)
		for _, b := range input {
			if _, err := say.Write(b); err != nil {
				return
			}
		}
	}()
	all, err := io.ReadAll(hear)
	if err != nil {
		t.Errorf("read: %v", err)
	}
	say.Close()
	<-wrote
	s.Close()
	<-served
	time.Sleep(time.Second) // of the bubble: net/http lingers for half of one
	return all
}

// halves is a connection of which each direction can be closed by itself.
type halves struct {
	net.Conn // output
	in       net.Conn
}

func (h *halves) Read(p []byte) (int, error)        { return h.in.Read(p) }
func (h *halves) SetReadDeadline(t time.Time) error { return h.in.SetReadDeadline(t) }
func (h *halves) SetDeadline(t time.Time) error {
	return errors.Join(h.in.SetDeadline(t), h.Conn.SetDeadline(t))
}
func (h *halves) CloseWrite() error { return h.Conn.Close() }
func (h *halves) Close() error      { return errors.Join(h.in.Close(), h.Conn.Close()) }

// inBubble runs a test in a synctest bubble: whoever it leaves behind fails it.
func inBubble(t *testing.T, test func(t *testing.T)) { synctest.Test(t, test) }

// hear reads what a link has to say until nothing more comes. Only in a bubble.
func (o *owner) hear() (events []string) {
	for {
		synctest.Wait()
		in, ok := o.link.Next()
		if ok {
			events = append(events, describe(in))
			continue
		}
		synctest.Wait() // who fills the room that Next has made may not have said so yet
		select {
		case <-o.R:
		default:
			return events
		}
	}
}

// answer is a response as a client has read it.
type answer struct {
	*http.Response
	body string
	err  error // of the body: it broke off
}

// answers reads the responses to requests of these methods, and at most one more,
// which is net/http's own to what was no request. rest is what stands behind a 101.
func answers(t *testing.T, out []byte, methods []string) (all []answer, rest []byte) {
	r := bufio.NewReader(bytes.NewReader(out))
	for {
		if _, err := r.Peek(1); err != nil {
			return all, nil
		}
		method, i := "GET", len(all)
		if i < len(methods) {
			method = methods[i]
		}
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("response %d of %q: %v", i, out, err)
		}
		a := answer{Response: resp}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			rest, _ = io.ReadAll(r)
			return append(all, a), rest
		}
		if resp.StatusCode < 200 { // the answer is still to come
			continue
		}
		body, err := io.ReadAll(resp.Body)
		a.body, a.err = string(body), err
		all = append(all, a)
		if i > len(methods) {
			t.Fatalf("%d requests, and answers without end: %q", len(methods), out)
		}
	}
}
