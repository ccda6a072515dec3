package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen. It bounds a failure
// and tunes nothing.
const patience = 2 * time.Minute

// owner plays the actor: the only one who calls the link.
type owner struct {
	t    testing.TB
	link transport.Link
	*transporttest.Signals
}

func own(t testing.TB, l transport.Link) *owner {
	o := &owner{t: t, link: l, Signals: transporttest.NewSignals()}
	l.Start(o.Signals)
	return o
}

// within is for how long a test waits. It does not end with the test's body:
// owners of links on other goroutines may have to finish what they do.
func within(testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	context.AfterFunc(ctx, cancel) // what cleans up may be what waits
	return ctx
}

func (o *owner) next() transport.Incoming {
	o.t.Helper()
	for {
		if in, ok := o.link.Next(); ok {
			return in
		}
		select {
		case <-o.R:
		case <-within(o.t).Done():
			o.t.Fatal("no Readable")
		}
	}
}

func (o *owner) flush() {
	o.t.Helper()
	for {
		if err := o.link.Flush(); err != nil {
			o.t.Fatalf("flush: %v", err)
		}
		if o.link.Pending() == 0 {
			_ = o.link.Flush() // what was taken since may be all that CloseWrite waits for
			return
		}
		select {
		case <-o.W:
		case <-within(o.t).Done():
			o.t.Fatal("no Writable")
		}
	}
}

// begin sends the head, with nothing behind it.
func (o *owner) begin(h *transport.Head, length int64) {
	o.t.Helper()
	if _, err := o.link.Begin(h, length); err != nil {
		o.t.Fatalf("begin: %v", err)
	}
	o.flush()
}

func (o *owner) send(op transport.Opcode, s string) {
	o.t.Helper()
	if err := o.link.Queue(transport.NewPacket(op, []byte(s))); err != nil {
		o.t.Fatalf("queue: %v", err)
	}
}

// describe makes an event comparable.
func describe(in transport.Incoming) string {
	switch in.Kind {
	case transport.KindMessage:
		return fmt.Sprintf("%v %q", in.Op, in.Data)
	case transport.KindPing, transport.KindPong:
		return fmt.Sprintf("%v %q", in.Kind, in.Data)
	case transport.KindClose:
		return fmt.Sprintf("close %d %q", in.Code, in.Reason)
	}
	var f *transport.Fault
	if errors.As(in.Err, &f) {
		return fmt.Sprintf("fault %d", f.Code)
	}
	return fmt.Sprintf("end %v", in.Err)
}

// poller runs a Poller for one test.
func poller(t testing.TB) *transport.Poller {
	p, err := transport.NewPoller()
	if errors.Is(err, transport.ErrNoPoller) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for {
			err := p.Wait(true)
			p.Dispatch()
			if err != nil {
				done <- err
				return
			}
		}
	}()
	t.Cleanup(func() {
		p.Close()
		if err := <-done; !errors.Is(err, transport.ErrPollerClosed) {
			t.Errorf("Wait: %v", err)
		}
	})
	return p
}

// serve opens links with open and hands them to the test.
func serve(t testing.TB, open func(w http.ResponseWriter, r *http.Request) (transport.Link, error)) (*httptest.Server, <-chan transport.Link) {
	links := make(chan transport.Link, 16)
	s := httptest.NewServer(handler(t, links, open))
	t.Cleanup(s.Close)
	return s, links
}

func handler(t testing.TB, links chan<- transport.Link, open func(w http.ResponseWriter, r *http.Request) (transport.Link, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l, err := open(w, r)
		if err != nil {
			var refused *transport.HandshakeError
			status := http.StatusInternalServerError
			if errors.As(err, &refused) {
				status = refused.Status
			}
			http.Error(w, err.Error(), status)
			return
		}
		links <- l
		if l.Framing() != transport.FramingWebSocket { // a test may put a wire of its own below those
			l.Hold()
		}
	})
}

// drivers are the ways a WebSocket link can be carried.
var drivers = []transport.Driver{transport.DriverMemory, transport.DriverPoller, transport.DriverGoroutine}

// eachDriver runs a test on every driver.
func eachDriver(t *testing.T, cfg transport.Config, test func(t *testing.T, o *owner, p *transporttest.Peer)) {
	for _, d := range drivers {
		t.Run(d.String(), func(t *testing.T) {
			o, p := connect(t, cfg, d)
			test(t, o, p)
		})
	}
}

// connect makes a link on a driver and its peer. Both end with the test.
func connect(t testing.TB, cfg transport.Config, d transport.Driver, opts ...transporttest.Option) (*owner, *transporttest.Peer) {
	t.Helper()
	if d == transport.DriverMemory {
		l, p := transporttest.Pair(&cfg, 8<<10)
		t.Cleanup(l.Release)
		return own(t, l), p
	}
	cfg.Driver = d
	if d == transport.DriverPoller {
		cfg.Poller = poller(t)
	}
	s, links := serve(t, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
		return cfg.WebSocket(w, r, nil, "")
	})
	return accept(t, s.URL, links, opts...)
}

// accept dials while it plays the owner: the response head is the link's first
// output.
func accept(t testing.TB, url string, links <-chan transport.Link, opts ...transporttest.Option) (*owner, *transporttest.Peer) {
	t.Helper()
	type dialed struct {
		p   *transporttest.Peer
		err error
	}
	done := make(chan dialed, 1)
	ctx := within(t)
	go func() {
		p, _, err := transporttest.DialPeer(ctx, url, opts...)
		done <- dialed{p, err}
	}()
	var l transport.Link
	var d dialed
	select {
	case l = <-links:
	case d = <-done: // net/http has written the head, or there is none
		if d.err != nil {
			t.Fatalf("dial: %v", d.err)
		}
		l = <-links
	}
	t.Cleanup(l.Release)
	o := own(t, l)
	o.flush()
	if d.p == nil {
		if d = <-done; d.err != nil {
			t.Fatalf("dial: %v", d.err)
		}
	}
	t.Cleanup(func() { d.p.Disconnect() })
	return o, d.p
}
