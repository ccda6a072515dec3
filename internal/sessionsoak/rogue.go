package main

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/troupe-actors/troupe/events/protocol"
)

// rogue is a client that does not keep to the protocol.
type rogue struct {
	*soak
	r       *rand.Rand
	name    string
	hello   protocol.ClientHello // names its session, once it has one
	address string
	http    http.Client
}

// rogue misbehaves until stop is closed, in a session of its own each time.
func (s *soak) rogue(r *rand.Rand, name string, stop chan struct{}) {
	w := &rogue{soak: s, r: r, name: name, address: s.h.plain.Listener.Addr().String()}
	w.http.Transport = &http.Transport{MaxIdleConnsPerHost: 4}
	defer w.http.CloseIdleConnections()
	tricks := []func(){w.garbage, w.forge, w.foreign, w.numbers, w.replay, w.flood, w.deaf}
	for n := 0; ; n++ {
		select {
		case <-time.After(time.Duration(r.IntN(400)) * time.Millisecond):
		case <-stop:
			return
		}
		w.hello = protocol.ClientHello{V: 1, Client: fmt.Sprintf("%s-%d", name, n), Token: "user " + name}
		tricks[r.IntN(len(tricks))]()
		w.forged.Add(1)
	}
}

// post says hello and lines, and is what was answered.
func (w *rogue) post(h protocol.ClientHello, down string, lines ...string) (status int, answer string) {
	h.Down = down
	b, err := json.Marshal(h)
	if err != nil {
		w.wrongf("%v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.address, strings.NewReader("h "+string(b)+"\n"+strings.Join(lines, "\n")))
	if err != nil {
		w.wrongf("%v", err)
		return 0, ""
	}
	defer time.AfterFunc(15*time.Second, func() { dump(h.Client + " waits for an answer") }).Stop()
	resp, err := w.http.Do(req)
	if err != nil {
		w.wrongf("%s: a POST is not answered: %v", h.Client, err)
		return 0, ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// poll is the hello that a poll is answered with.
func (w *rogue) poll(h protocol.ClientHello) (hello protocol.ServerHello) {
	h.First = true
	status, answer := w.post(h, protocol.DownPoll)
	line, _, _ := strings.Cut(answer, "\n")
	if status != http.StatusOK || !strings.HasPrefix(line, "h ") || json.Unmarshal([]byte(line[2:]), &hello) != nil {
		w.wrongf("%s: a poll is answered with %d %.100q", h.Client, status, answer)
	}
	return hello
}

// begin has it have a session.
func (w *rogue) begin() {
	h := w.poll(w.hello)
	w.hello.Session, w.hello.Secret = h.Session, h.Secret
}

func (w *rogue) leave() { w.post(w.hello, protocol.DownNone, `b {"code":1000,"end":true}`) }

func (w *rogue) expect(what string, got, want any) {
	if got != want {
		w.wrongf("%s: %s is %v, want %v", w.hello.Client, what, got, want)
	}
}

func junk(n int) string {
	b := make([]byte, n)
	crand.Read(b)
	return string(b)
}

// garbage is bytes that mean nothing, at each door.
func (w *rogue) garbage() {
	if c, err := net.Dial("tcp", w.address); err == nil {
		_, _ = io.WriteString(c, junk(w.r.IntN(3000))) // as far as it is let
		c.Close()
	}
	if resp, err := w.http.Post("http://"+w.address, "text/plain", strings.NewReader(junk(w.r.IntN(3000)))); err == nil {
		w.expect("the status of garbage", resp.StatusCode, http.StatusBadRequest)
		resp.Body.Close()
	}
	if c := w.dial(); c != nil {
		defer c.Close()
		switch w.r.IntN(3) {
		case 0:
			_, _ = io.WriteString(c, junk(500)) // it may be cut off at once
		case 1:
			_ = wsutil.WriteClientText(c, []byte(junk(50))) // the same
		case 2:
			_ = wsutil.WriteClientText(c, []byte(`g 3`)) // the same
		}
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			w.wrongf("%s: a WebSocket is not closed after garbage", w.hello.Client)
		}
	}
}

// dial makes a WebSocket with its hello.
func (w *rogue) dial() net.Conn {
	sub, err := w.hello.Subprotocol()
	if err != nil {
		w.wrongf("%v", err)
		return nil
	}
	d := ws.Dialer{Protocols: []string{protocol.JSON, sub}, Timeout: 10 * time.Second, NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(4096)
		}
		return c, err
	}}
	c, _, _, err := d.Dial(context.Background(), "ws://"+w.address)
	if err != nil {
		w.wrongf("%s: %v", w.hello.Client, err)
		return nil
	}
	return c
}

// forge names another's session, without its secret.
func (w *rogue) forge() {
	for s := range w.h.srv.Sessions() {
		h := w.hello
		h.Session, h.Secret = s.ID(), fmt.Sprintf("%x", junk(16))
		status, _ := w.post(h, protocol.DownNone, `e up {"N":1000000}`)
		w.expect("the status of a forgery", status, http.StatusGone)
		got := w.poll(h)
		w.expect("resumed, forged", got.Resumed, false)
		w.expect("why, forged", got.Why, protocol.WhyExpired)
		return
	}
}

// foreign names a session of its own, and is somebody else.
func (w *rogue) foreign() {
	w.begin()
	h := w.hello
	h.Token = "user 1"
	got := w.poll(h)
	w.expect("resumed, foreign", got.Resumed, false)
	if got.Why != protocol.WhyExpired { // on a slow machine
		w.expect("why, foreign", got.Why, protocol.WhyUser)
	}
	w.leave()
}

// numbers are some that cannot be.
func (w *rogue) numbers() {
	w.begin()
	h := w.hello
	h.From = 1000
	for _, line := range []string{`e up {"N":1}`, `a 1000000`} {
		if status, _ := w.post(h, protocol.DownNone, line); status != http.StatusGone { // on a slow machine
			w.expect("the status of "+line, status, http.StatusBadRequest)
		}
		h.From = 0
	}
	h = w.hello
	h.Received = 1 << 40
	got := w.poll(h)
	w.expect("resumed, with an impossible number", got.Resumed, false)
	if got.Why != protocol.WhyExpired { // on a slow machine
		w.expect("why", got.Why, protocol.WhyNumbers)
	}
	w.leave()
}

// replay says the same over and over; the book of the session knows what came.
func (w *rogue) replay() {
	w.begin()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			status, answer := w.post(w.hello, protocol.DownNone, `e up {"N":1}`, `e up {"N":2}`, `q 1 ask {"N":3}`, `e up {"N":4}`)
			if status != http.StatusServiceUnavailable {
				if status != http.StatusGone { // on a slow machine
					w.expect("the answer to a replay", answer, "k 4\n")
				}
			}
		})
	}
	all.Wait()
	w.leave()
}

// flood is POSTs at the same time, in any order.
func (w *rogue) flood() {
	w.begin()
	const n = 40
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			h := w.hello
			h.From = uint64(i)
			for {
				switch status, answer := w.post(h, protocol.DownNone, fmt.Sprintf(`e up {"N":%d}`, i+1)); status {
				case http.StatusOK, http.StatusGone, 0:
					return
				case http.StatusBadRequest, http.StatusServiceUnavailable: // not its turn
					time.Sleep(20 * time.Millisecond)
				default:
					w.wrongf("%s: a POST in a flood is answered with %d %q", h.Client, status, answer)
					return
				}
			}
		})
	}
	all.Wait()
	w.leave()
}

// deaf says things and asks, and reads nothing.
func (w *rogue) deaf() {
	c := w.dial()
	if c == nil {
		return
	}
	defer c.Close()
	for n := 1; n < window; n++ {
		if wsutil.WriteClientText(c, fmt.Appendf(nil, `e up {"N":%d,"Pad":"%s"}`, n, strings.Repeat("x", 1000))) != nil {
			return
		}
	}
	time.Sleep(time.Duration(w.r.Int64N(int64(2 * grace))))
}
