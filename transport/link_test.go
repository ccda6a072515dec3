package transport_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func TestEcho(t *testing.T) {
	eachDriver(t, transport.Config{}, func(t *testing.T, o *owner, p *transporttest.Peer) {
		ctx := within(t)
		for _, n := range []int{0, 1, 125, 126, 1023, 1024, 65535, 65536, 300_000} {
			want := bytes.Repeat([]byte("troupe"), n/6+1)[:n]
			go p.WriteBinary(want)
			in := o.next()
			if !bytes.Equal(in.Data, want) {
				t.Fatalf("%d bytes in: got %d", n, len(in.Data))
			}
			back := make(chan []byte, 1)
			go func() {
				_, b, _ := p.ReadMessage(ctx)
				back <- b
			}()
			o.send(transport.Binary, string(in.Data))
			o.flush()
			if got := <-back; !bytes.Equal(got, want) {
				t.Fatalf("%d bytes back: got %d", n, len(got))
			}
		}
		if o.link.Taken() != o.link.Queued() {
			t.Errorf("taken %d, queued %d", o.link.Taken(), o.link.Queued())
		}
		if !transport.Idle(o.link) {
			t.Error("an idle link holds a buffer")
		}
	})
}

func TestFlushIsOneWrite(t *testing.T) {
	eachDriver(t, transport.Config{}, func(t *testing.T, o *owner, p *transporttest.Peer) {
		w := transport.Count(o.link)
		var want []string
		for i := range 100 {
			s := strings.Repeat("a", i)
			if i%10 == 9 {
				s = strings.Repeat("b", 40*i) // handed over where it lies
			}
			want = append(want, s)
		}
		got := make(chan bool, 1)
		ctx := within(t)
		go func() {
			for _, s := range want {
				_, b, err := p.ReadMessage(ctx)
				if err != nil || string(b) != s {
					t.Errorf("got %q %v, want %q", b, err, s)
					break
				}
			}
			got <- true
		}()
		for _, s := range want {
			o.send(transport.Text, s)
		}
		if w.Calls != 0 {
			t.Error("Queue wrote")
		}
		if err := o.link.Flush(); err != nil {
			t.Fatal(err)
		}
		if w.Calls != 1 {
			t.Errorf("%d writes for one Flush", w.Calls)
		}
		o.flush()
		<-got
	})
}

func TestPartialWritesKeepOrder(t *testing.T) {
	for _, most := range []int{1, 3, 1000, 4097} {
		l, p := transporttest.Pair(&transport.Config{}, 1<<20)
		o := own(t, l)
		w := transport.Count(l)
		w.Max = most
		messages := []string{"", "x", strings.Repeat("y", 126), strings.Repeat("z", 5000), "tail", strings.Repeat("w", 70000)}
		for _, m := range messages {
			o.send(transport.Binary, m)
		}
		before := l.Queued()
		for l.Pending() > 0 {
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			if l.Taken()+uint64(l.Pending()) != before {
				t.Fatalf("taken %d and pending %d are not queued %d", l.Taken(), l.Pending(), before)
			}
		}
		for i, m := range messages {
			if _, b, err := p.ReadMessage(within(t)); err != nil || string(b) != m {
				t.Fatalf("at most %d: message %d: %d bytes, %v", most, i, len(b), err)
			}
		}
		l.Release()
	}
}

func TestStalledReaderResumes(t *testing.T) {
	for _, d := range drivers {
		t.Run(d.String(), func(t *testing.T) {
			o, p := connect(t, transport.Config{}, d, transporttest.WithReadBuffer(4<<10))
			payload := strings.Repeat("s", 64<<10)
			n := 0
			for o.link.Pending() < 1<<20 { // far beyond what the drivers buffer
				o.send(transport.Binary, payload)
				n++
				if err := o.link.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			done := make(chan int)
			ctx := within(t)
			go func() {
				k := 0
				for range n {
					_, b, err := p.ReadMessage(ctx)
					if err != nil || string(b) != payload {
						t.Errorf("message %d: %d bytes, %v", k, len(b), err)
						break
					}
					k++
				}
				done <- k
			}()
			o.flush()
			if got := <-done; got != n {
				t.Errorf("%d of %d messages", got, n)
			}
		})
	}
}

func TestCloseHandshake(t *testing.T) {
	eachDriver(t, transport.Config{}, func(t *testing.T, o *owner, p *transporttest.Peer) {
		ctx := within(t)
		o.send(transport.Text, "last")
		o.link.Close(1001, strings.Repeat("ä", 100))
		o.link.Close(1000, "second")
		if err := o.link.Queue(transport.NewPacket(transport.Text, nil)); !errors.Is(err, transport.ErrClosing) {
			t.Errorf("queue after close: %v", err)
		}
		o.link.CloseWrite()
		o.link.Discard()
		o.flush()
		if _, b, err := p.ReadMessage(ctx); string(b) != "last" {
			t.Fatalf("%q %v", b, err)
		}
		_, _, err := p.ReadMessage(ctx)
		var c *transporttest.CloseError
		if !errors.As(err, &c) || c.Code != 1001 || c.Reason != strings.Repeat("ä", 61) {
			t.Fatalf("close: %v", err)
		}
		if _, err := p.ReadFrame(ctx); !errors.Is(err, io.EOF) {
			t.Fatalf("after close: %v", err)
		}
		p.WriteText("ignored")
		p.WriteRaw(frame(ws.OpText, false, "half"))
		p.Close(1001, "ok")
		p.CloseWrite()
		if got := describe(o.next()); got != `close 1001 "ok"` {
			t.Error(got)
		}
		if got := describe(o.next()); got != "end EOF" {
			t.Error(got)
		}
	})
}

func TestDiscardInsideMessage(t *testing.T) {
	eachDriver(t, transport.Config{MaxMessageBytes: 10}, func(t *testing.T, o *owner, p *transporttest.Peer) {
		b := frame(ws.OpText, false, "abcdef")
		p.WriteRaw(join(frame(ws.OpPing, true, ""), b[:9]))
		if got := describe(o.next()); got != `ping ""` {
			t.Fatal(got)
		}
		o.link.Next()
		o.link.Discard()
		go func() {
			p.WriteRaw(b[9:])
			p.WriteRaw(frame(ws.OpContinuation, true, strings.Repeat("\xff", 30_000))) // no rule but framing is kept now
			p.Close(0, "")
			p.CloseWrite()
		}()
		if got := describe(o.next()); got != `close 1005 ""` {
			t.Error(got)
		}
		if got := describe(o.next()); got != "end EOF" {
			t.Error(got)
		}
	})
}

func TestPeerResets(t *testing.T) {
	eachDriver(t, transport.Config{}, func(t *testing.T, o *owner, p *transporttest.Peer) {
		p.Reset()
		if in := o.next(); in.Kind != transport.KindEnd || !errors.Is(in.Err, syscall.ECONNRESET) {
			t.Error(describe(in))
		}
		o.send(transport.Text, "to nobody")
		var err error
		for err == nil {
			if err = o.link.Flush(); err == nil {
				select {
				case <-o.W:
				case <-within(t).Done():
					t.Fatal("no error from a broken connection")
				}
			}
		}
		if again := o.link.Flush(); again != err {
			t.Errorf("an error is final: %v, then %v", err, again)
		}
		if o.link.Taken() >= o.link.Queued() {
			t.Error("a lost packet counts as written")
		}
	})
}

func TestReleaseIsFinalAndIdempotent(t *testing.T) {
	eachDriver(t, transport.Config{}, func(t *testing.T, o *owner, p *transporttest.Peer) {
		l := o.link
		o.send(transport.Text, "lost")
		remote := l.RemoteAddr()
		if remote == nil {
			t.Fatal("no address")
		}
		l.Release()
		l.Release()
		if _, ok := l.Next(); ok {
			t.Error("Next after Release")
		}
		if err := l.Queue(transport.NewPacket(transport.Text, nil)); !errors.Is(err, transport.ErrReleased) {
			t.Error(err)
		}
		if err := l.Flush(); !errors.Is(err, transport.ErrReleased) {
			t.Error(err)
		}
		l.Close(1000, "")
		l.CloseWrite()
		l.Discard()
		l.Hold()
		if l.Pending() == 0 || l.Taken()+uint64(l.Pending()) != l.Queued() {
			t.Errorf("pending %d, taken %d, queued %d", l.Pending(), l.Taken(), l.Queued())
		}
		if a := l.RemoteAddr(); a != nil && a.String() != remote.String() || l.LocalAddr() != nil {
			t.Error("addresses:", a, l.LocalAddr())
		}
		if _, err := p.ReadFrame(within(t)); err == nil {
			t.Error("the peer read on")
		}
	})
}

func TestReleaseWhileSignalsRace(t *testing.T) {
	for _, d := range drivers {
		t.Run(d.String(), func(t *testing.T) {
			for range 20 {
				o, p := connect(t, transport.Config{}, d)
				var wg sync.WaitGroup
				wg.Go(func() {
					for p.WriteText("hello") == nil {
					}
				})
				for range 50 {
					o.next()
					o.send(transport.Binary, strings.Repeat("x", 1000))
					if err := o.link.Flush(); err != nil {
						t.Fatal(err)
					}
				}
				o.link.Release()
				p.Disconnect()
				wg.Wait()
			}
		})
	}
}

func TestBytesThatCameWithTheRequest(t *testing.T) {
	for _, d := range drivers[1:] {
		t.Run(d.String(), func(t *testing.T) {
			o, p := connect(t, transport.Config{}, d, transporttest.WithEarly(join(frame(ws.OpText, true, "early"), frame(ws.OpText, true, "second")[:3])))
			if got := describe(o.next()); got != `text "early"` {
				t.Error(got)
			}
			p.WriteRaw(frame(ws.OpText, true, "second")[3:])
			if got := describe(o.next()); got != `text "second"` {
				t.Error(got)
			}
		})
	}
}

func TestBudget(t *testing.T) {
	held, top := 0, 10_000
	cfg := transport.Config{Reserve: func(n int) bool {
		if held+n > top {
			return false
		}
		held += n
		return true
	}}
	l, p := transporttest.Pair(&cfg, 1<<20)
	defer l.Release()
	o := own(t, l)
	p.WriteRaw(join(frame(ws.OpBinary, false, strings.Repeat("a", 3000)), frame(ws.OpContinuation, true, "b")))
	if in := o.next(); len(in.Data) != 3001 {
		t.Fatal(describe(in))
	}
	if held != 0 {
		t.Errorf("%d bytes held after the message", held)
	}
	p.WriteRaw(join(frame(ws.OpBinary, false, strings.Repeat("a", 6000)), frame(ws.OpContinuation, true, strings.Repeat("a", 6000))))
	in := o.next()
	if !errors.Is(in.Err, transport.ErrBudget) || describe(in) != "fault 1013" {
		t.Error(describe(in))
	}
	if held != 0 {
		t.Errorf("%d bytes held after the fault", held)
	}
}

func TestMemoryFollowsWhatArrived(t *testing.T) {
	l, p := transporttest.Pair(&transport.Config{MaxMessageBytes: 1 << 30}, 1<<20)
	defer l.Release()
	o := own(t, l)
	b := frame(ws.OpBinary, true, strings.Repeat("x", 1<<20))
	arrived := 0
	for _, n := range []int{15, 1, 4000, 10_000, 100_000} {
		p.WriteRaw(b[arrived : arrived+n])
		arrived += n
		if in, ok := o.link.Next(); ok {
			t.Fatal(describe(in))
		}
		if got := transport.AssemblyBytes(l); got > max(4<<10, 2*arrived) {
			t.Errorf("%d bytes of memory for %d that arrived", got, arrived)
		}
	}
}

// TestSynctest shows that a memory pair lives in a bubble: the test only ends if
// every wait of it counts as one.
func TestSynctest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := transporttest.Pair(&transport.Config{}, 100)
		o := own(t, l)
		o.send(transport.Text, strings.Repeat("x", 1000))
		if err := l.Flush(); err != nil || l.Pending() == 0 {
			t.Fatal(l.Pending(), err)
		}
		synctest.Wait()
		select {
		case <-o.W:
			t.Fatal("Writable, but nobody has read")
		default:
		}
		go func() {
			if _, b, err := p.ReadMessage(t.Context()); len(b) != 1000 {
				t.Error(len(b), err)
			}
		}()
		for l.Pending() > 0 {
			<-o.W
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		l.Release()
	})
}

func TestTLS(t *testing.T) {
	cfg := transport.Config{Poller: poller(t)} // auto: TLS has no descriptor of its own
	s, links := serveTLS(t, false, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
		return cfg.WebSocket(w, r, nil, "")
	})
	tlsConfig := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	tlsConfig.NextProtos = nil
	o, p := accept(t, s.URL, links, transporttest.WithTLS(tlsConfig))
	if o.link.Driver() != transport.DriverGoroutine {
		t.Error(o.link.Driver())
	}
	go p.WriteText(strings.Repeat("x", 50_000))
	if in := o.next(); len(in.Data) != 50_000 {
		t.Error(describe(in))
	}
	o.send(transport.Text, "hello")
	o.link.Close(1000, "")
	o.link.CloseWrite()
	o.flush()
	if _, b, err := p.ReadMessage(within(t)); string(b) != "hello" {
		t.Error(string(b), err)
	}
	for { // what is unread at the end would reset the connection
		if _, err := p.ReadFrame(within(t)); err != nil {
			break
		}
	}
	p.Disconnect()
	if got := describe(o.next()); got != "end EOF" {
		t.Error(got)
	}
}

// TestWorkOfNextIsBounded: a sender that never pauses must not keep the owner.
func TestWorkOfNextIsBounded(t *testing.T) {
	l, p := transporttest.Pair(&transport.Config{}, 4<<20)
	defer l.Release()
	o := own(t, l)
	p.WriteRaw([]byte{0xff})
	if got := describe(o.next()); got != "fault 1002" {
		t.Fatal(got)
	}
	l.Discard()
	p.WriteRaw(make([]byte, 2<<20))
	p.CloseWrite()
	rounds := 0
	for {
		select {
		case <-o.R:
		default:
			t.Fatal("Next stopped for fairness and did not signal")
		}
		rounds++
		if in, ok := l.Next(); ok {
			if in.Err != io.EOF {
				t.Error(describe(in))
			}
			break
		}
	}
	if rounds < 4 {
		t.Errorf("2 MiB in %d calls of Next", rounds)
	}
}

// TestQueueMovesWhileItGrows: packets come in faster than they leave, so the
// list is compacted with a packet half written at its head.
func TestQueueMovesWhileItGrows(t *testing.T) {
	l, p := transporttest.Pair(&transport.Config{}, 1<<20)
	defer l.Release()
	o := own(t, l)
	transport.Count(l).Max = 70
	const n = 500
	for i := range n {
		o.send(transport.Binary, strings.Repeat(string(rune('a'+i%26)), 100))
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	for l.Pending() > 0 {
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if _, b, err := p.ReadMessage(within(t)); err != nil || string(b) != strings.Repeat(string(rune('a'+i%26)), 100) {
			t.Fatalf("message %d: %q %v", i, b, err)
		}
	}
}
