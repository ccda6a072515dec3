package transport_test

import (
	"bufio"
	"bytes"
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
	near, far := net.Pipe()
	l := newOnce(near)
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
			if _, err := far.Write(b); err != nil {
				return
			}
		}
	}()
	out, err := io.ReadAll(far)
	if err != nil {
		t.Errorf("read: %v", err)
	}
	far.Close()
	<-wrote
	s.Close()
	<-served
	return out
}

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
	for i := 0; ; i++ {
		if _, err := r.Peek(1); err != nil {
			return all, nil
		}
		method := "GET"
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
		body, err := io.ReadAll(resp.Body)
		a.body, a.err = string(body), err
		all = append(all, a)
		if i > len(methods) {
			t.Fatalf("%d requests, and answers without end: %q", len(methods), out)
		}
	}
}
