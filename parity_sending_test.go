package troupe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// What can be sent: items 52 to 67 of docs/parity.md.
func TestSending(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{})
		t.Run("052 a string is a text message and UTF-8 in a body", func(t *testing.T) {
			c, p := m.socket()
			must(t, c.Send("grüß dich"))
			if op, s := m.message(p); op != transport.Text || s != "grüß dich" {
				t.Fatal(op, s)
			}
			if err := c.Send("\xff"); !errors.Is(err, actors.ErrNotUTF8) {
				t.Fatal(err)
			}
			h, r := m.held("GET")
			must(t, h.Send("grüß dich"))
			if head := r.head(); !strings.Contains(head, "charset=utf-8") {
				t.Fatal(head)
			}
			if s := r.chunk(); s != "grüß dich" {
				t.Fatal(s)
			}
		})
		t.Run("053 bytes are a binary message and a body as they are", func(t *testing.T) {
			c, p := m.socket()
			must(t, c.Send([]byte{0xff, 0}))
			if op, s := m.message(p); op != transport.Binary || s != "\xff\x00" {
				t.Fatal(op, s)
			}
			h, r := m.held("GET")
			must(t, h.Send([]byte{0xff, 0}))
			r.head()
			if s := r.chunk(); s != "\xff\x00" {
				t.Fatalf("%q", s)
			}
		})
		t.Run("054 a byte buffer is one binary message", func(t *testing.T) {
			c, p := m.socket()
			must(t, c.Send(bytes.NewBufferString("buffered"), actors.Whole()))
			if op, s := m.message(p); op != transport.Binary || s != "buffered" {
				t.Fatal(op, s)
			}
		})
		t.Run("055 a reader is a body in pieces as it is read", func(t *testing.T) {
			h, r := m.held("GET")
			source := make(drip)
			told := send(t, h, source)
			source <- "first"
			r.head()
			if s := r.chunk(); s != "first" {
				t.Fatal(s)
			}
			source <- "second" // nobody has waited for it
			if s := r.chunk(); s != "second" {
				t.Fatal(s)
			}
			close(source)
			written(t, told)

			want := blob(40_000)
			written(t, send(t, h, bytes.NewReader(want)))
			var got []byte
			for _, size := range []int{16_384, 16_384, 7_232} {
				s := r.chunk()
				if len(s) != size {
					t.Fatalf("a chunk of %d bytes", len(s))
				}
				got = append(got, s...)
			}
			same(t, got, want)
		})
		t.Run("056 a reader is binary messages, or one, as asked", func(t *testing.T) {
			c, p := m.socket()
			want := blob(40_000)
			must(t, c.Send(bytes.NewReader(want)))
			var got []byte
			for _, size := range []int{16_384, 16_384, 7_232} {
				op, s := m.message(p)
				if op != transport.Binary || len(s) != size {
					t.Fatal(op, len(s))
				}
				got = append(got, s...)
			}
			same(t, got, want)

			must(t, c.Send(bytes.NewReader(want), actors.Whole()))
			must(t, c.Send("behind"))
			got = nil
			for first := true; ; first = false {
				f, err := p.ReadFrame(t.Context())
				must(t, err)
				if first != (f.Header.OpCode == ws.OpBinary) || !first && f.Header.OpCode != ws.OpContinuation || f.Header.Length > 16_384 {
					t.Fatal(f.Header)
				}
				if got = append(got, f.Payload...); f.Header.Fin {
					break
				}
			}
			same(t, got, want)
			if s := m.read(p); s != "behind" {
				t.Fatal(s)
			}
			must(t, c.Send(strings.NewReader(""), actors.Whole()))
			if op, s := m.message(p); op != transport.Binary || s != "" {
				t.Fatal(op, s)
			}
			// Cut between characters, however they fall.
			text := strings.Repeat("äöü", 10_000)
			must(t, c.Send(strings.NewReader("x"+text), actors.AsText()))
			all := ""
			for len(all) < len(text)+1 {
				op, s := m.message(p)
				if op != transport.Text {
					t.Fatal(op)
				}
				all += s
			}
			if all != "x"+text {
				t.Fatal("not the text that was sent")
			}
			if r := get(t, send(t, c, strings.NewReader("broken \xff"), actors.AsText())); !errors.Is(r.err, actors.ErrNotUTF8) {
				t.Fatal(r)
			}
		})
		t.Run("058 a file", func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			want := blob(50_000)
			must(t, os.WriteFile(path, want, 0o600))
			c, p := m.socket()
			f, err := os.Open(path)
			must(t, err)
			written(t, send(t, c, f, actors.Whole()))
			_, s := m.message(p)
			same(t, []byte(s), want)
			if _, err := f.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
				t.Fatal(err)
			}
			h, r := m.held("GET")
			f, err = os.Open(path)
			must(t, err)
			must(t, h.Send(f, actors.ThenClose()))
			resp := r.answer("GET")
			got, err := io.ReadAll(resp.Body)
			must(t, err)
			same(t, got, want)
			if resp.ContentLength != int64(len(want)) {
				t.Fatal(resp.ContentLength)
			}
		})
		t.Run("059 060 a sequence item by item with one outcome", func(t *testing.T) {
			c, p := m.socket()
			read := make(chan string)
			told := send(t, c, func(yield func(any) bool) {
				inner := slices.Values([]any{strings.NewReader("2"), "3"})
				for _, item := range []any{"0", []byte("1"), inner, nil, actors.Text("4")} {
					if !yield(item) {
						return
					}
					// The peer has what came before while nothing else was asked for.
					switch {
					case item == nil:
					default:
						if _, nested := item.(iter.Seq[any]); nested {
							<-read
						}
						<-read
					}
				}
			})
			for i := range 5 {
				if s := m.read(p); s != fmt.Sprint(i) {
					t.Fatal(s)
				}
				select {
				case r := <-told:
					t.Fatal("too early", r)
				case read <- "":
				}
			}
			written(t, told)
			must(t, c.Send(slices.Values([]string{"a", "b"}))) // of any element type
			if s := m.read(p) + m.read(p); s != "ab" {
				t.Fatal(s)
			}
		})
		t.Run("060 the first item that fails ends a sequence", func(t *testing.T) {
			c, p := m.socket()
			went := false
			told := send(t, c, func(yield func(any) bool) { went = yield("good") && yield(struct{}{}) && yield("never") })
			if r := get(t, told); r.out != actors.Failed || !errors.Is(r.err, actors.ErrType) || !strings.Contains(r.err.Error(), "struct {}") {
				t.Fatal(r)
			}
			written(t, send(t, c, "next"))
			if s := m.read(p) + m.read(p); s != "goodnext" || went {
				t.Fatal(s, went)
			}
			if len(told) != 0 {
				t.Fatal("told twice")
			}
		})
		t.Run("061 an empty sequence", func(t *testing.T) {
			c, p := m.socket()
			told := send(t, c, func(func(any) bool) {}, actors.ThenClose())
			written(t, told)
			if code := m.closes(p); code != 1000 {
				t.Fatal(code)
			}
			done(t, c)
		})
		t.Run("062 nil", func(t *testing.T) {
			c, p := m.socket()
			written(t, send(t, c, nil))
			must(t, c.Send("next"))
			if s := m.read(p); s != "next" {
				t.Fatal(s)
			}
			written(t, send(t, c, nil, actors.ThenClose()))
			if code := m.closes(p); code != 1000 {
				t.Fatal(code)
			}
			h, r := m.held("GET")
			written(t, send(t, h, nil)) // the head goes out, and nothing else
			if head := r.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") || !strings.Contains(head, "Transfer-Encoding: chunked") {
				t.Fatal(head)
			}
			must(t, h.Send("now"))
			if s := r.chunk(); s != "now" {
				t.Fatal(s)
			}
		})
		t.Run("064 065 066 what cannot be sent", func(t *testing.T) {
			c, p := m.socket()
			h, r := m.held("GET")
			must(t, h.Send("begun"))
			for _, v := range []struct {
				c    *actors.Channel
				v    any
				want error
				says string
			}{
				{h, actors.Response{Status: 404}, actors.ErrStarted, "before"},
				{c, actors.Response{Status: 404}, actors.ErrFraming, "WebSocket"},
				{c, 42, actors.ErrType, "int"},
				{c, (*actors.Message)(nil), actors.ErrType, "*actors.Message"},
				{h, map[string]string{}, actors.ErrType, "map[string]string"},
			} {
				if err := v.c.Send(v.v); !errors.Is(err, v.want) || !strings.Contains(err.Error(), v.says) {
					t.Errorf("%T: %v", v.v, err)
				}
			}
			var bad *transport.HeadError
			h2, r2 := m.held("GET")
			for _, head := range []actors.Response{
				{Status: 99}, {Status: 600}, {Header: http.Header{"Bad name": {"x"}}}, {Header: http.Header{"X": {"a\r\nb: c"}}},
			} {
				if err := h2.Send(head); !errors.As(err, &bad) {
					t.Errorf("%v: %v", head, err)
				}
			}
			must(t, c.Send("fine"))
			must(t, h.Send("fine"))
			must(t, h2.Send(actors.Response{Status: 202, Body: "fine"}))
			if s := m.read(p); s != "fine" {
				t.Fatal(s)
			}
			r.head()
			if s := r.chunk() + r.chunk(); s != "begunfine" {
				t.Fatal(s)
			}
			if resp := r2.answer("GET"); resp.StatusCode != 202 {
				t.Fatal(resp.Status)
			}
		})
		t.Run("067 pings and pongs with data", func(t *testing.T) {
			c, p := m.socket()
			written(t, send(t, c, actors.Ping{Data: []byte("are you there")}))
			must(t, c.Send(actors.Pong{Data: []byte("I am")}))
			for _, want := range []ws.Frame{ws.NewPingFrame([]byte("are you there")), ws.NewPongFrame([]byte("I am"))} {
				f, err := p.ReadFrame(t.Context())
				must(t, err)
				if f.Header.OpCode != want.Header.OpCode || string(f.Payload) != string(want.Payload) {
					t.Fatal(f)
				}
			}
			if err := c.Send(actors.Ping{Data: make([]byte, 126)}); err == nil {
				t.Fatal("a ping of 126 bytes")
			}
		})
	})
}

// A Response on the first send of a stream: item 63.
func TestSendingAResponse(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{Prepare: func(_ *actors.Channel, h *actors.Head) {
			h.Status = 201
			h.Header.Set("X-From", "prepare")
			h.Header.Set("X-Kept", "yes")
		}})
		bodies := map[string]func() any{
			"string":   func() any { return "body" },
			"bytes":    func() any { return []byte("body") },
			"reader":   func() any { return io.MultiReader(strings.NewReader("bo"), strings.NewReader("dy")) },
			"sequence": func() any { return slices.Values([]string{"bo", "dy"}) },
		}
		for kind, body := range bodies {
			t.Run("063 a response with a "+kind, func(t *testing.T) {
				h, r := m.held("GET")
				must(t, h.Send(actors.Response{Status: 404, Body: body()}, actors.ThenClose()))
				resp := r.answer("GET")
				b, err := io.ReadAll(resp.Body)
				must(t, err)
				if resp.StatusCode != 404 || resp.Header.Get("X-From") != "prepare" || string(b) != "body" {
					t.Fatal(resp.Status, resp.Header, string(b))
				}
			})
		}
		t.Run("063 status and headers override each for itself", func(t *testing.T) {
			h, r := m.held("GET")
			must(t, h.Send(actors.Response{Header: http.Header{"X-From": {"response"}}}, actors.ThenClose()))
			resp := r.answer("GET")
			if resp.StatusCode != 201 || resp.Header.Get("X-From") != "response" || resp.Header.Get("X-Kept") != "yes" || resp.ContentLength != 0 {
				t.Fatal(resp.Status, resp.Header, resp.ContentLength)
			}
		})
	})
}

// Readers are closed whatever happens: item 57, and D6.
func TestReadersAreClosed(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{MailboxMessages: 2})
		closed := func(t *testing.T, p *probe) {
			t.Helper()
			get(t, p.closed)
			if n := p.times.Load(); n != 1 {
				t.Fatalf("closed %d times", n)
			}
		}
		t.Run("057 at the end", func(t *testing.T) {
			c, _ := m.socket()
			r := probed(strings.NewReader("all"))
			written(t, send(t, c, r))
			closed(t, r)
		})
		t.Run("057 073 when reading fails", func(t *testing.T) {
			c, p := m.socket()
			broken := errors.New("the disk is broken")
			r := probed(io.MultiReader(strings.NewReader("half"), &failing{broken}))
			if got := get(t, send(t, c, r)); got.out != actors.Failed || !errors.Is(got.err, broken) {
				t.Fatal(got)
			}
			closed(t, r)
			must(t, c.Send("goes on"))
			if s := m.read(p) + m.read(p); s != "halfgoes on" {
				t.Fatal(s)
			}
			r = probed(io.MultiReader(strings.NewReader("half"), &failing{broken}))
			must(t, c.Send(r, actors.Whole())) // a message that cannot be completed
			f, err := p.ReadFrame(t.Context())
			must(t, err)
			if string(f.Payload) != "half" || f.Header.Fin {
				t.Fatal(f)
			}
			if code := closeOf(t, p).Code; code != 1011 {
				t.Fatal(code)
			}
			closed(t, r)
		})
		t.Run("057 when it panics", func(t *testing.T) {
			c, p := m.socket()
			r := probed(&failing{nil})
			got := get(t, send(t, c, r))
			var bug *actors.HandlerError
			if got.out != actors.Failed || !errors.As(got.err, &bug) || bug.Where != "source" || len(bug.Stack) == 0 {
				t.Fatal(got)
			}
			closed(t, r)
			must(t, c.Send("goes on"))
			if s := m.read(p); s != "goes on" {
				t.Fatal(s)
			}
		})
		t.Run("057 when it is refused", func(t *testing.T) {
			c, _ := m.socket()
			r := probed(strings.NewReader("x"))
			if err := c.Send(r, actors.Within(-1)); err == nil {
				t.Fatal("a send within less than nothing")
			}
			closed(t, r)
			first := stuckReader()
			told := send(t, c, first)
			must(t, c.Send("waits"))
			r = probed(strings.NewReader("x"))
			if err := c.Send(r); !errors.Is(err, actors.ErrFull) {
				t.Fatal(err)
			}
			closed(t, r)
			c.Close()
			if got := get(t, told); got.out != actors.NotOpen || !errors.Is(got.err, actors.ErrClosed) {
				t.Fatal(got)
			}
			closed(t, first)
		})
		t.Run("057 D6 when the channel ends while it waits in Read, and behind it", func(t *testing.T) {
			for _, framing := range []string{"websocket", "stream"} {
				var c *actors.Channel
				var cut func()
				if framing == "websocket" {
					var p interface{ Reset() error }
					c, p = m.socket()
					cut = func() { must(t, p.Reset()) }
				} else {
					h, r := m.held("GET")
					c, cut = h, func() {
						must(t, r.Conn.(*net.TCPConn).SetLinger(0)) // else what waits behind a source may still be sent
						must(t, r.Close())
					}
				}
				first, second := stuckReader(), probed(strings.NewReader("x"))
				a, b := send(t, c, first), send(t, c, second)
				cut()
				for _, told := range []<-chan result{a, b} {
					if got := get(t, told); got.out != actors.NotOpen {
						t.Fatal(got)
					}
				}
				closed(t, first)
				closed(t, second)
				done(t, c)
				third := probed(strings.NewReader("x"))
				if err := c.Send(third); !errors.Is(err, actors.ErrClosed) {
					t.Fatal(err)
				}
				closed(t, third)
			}
		})
		t.Run("057 inside a sequence, which ends at once", func(t *testing.T) {
			c, _ := m.socket()
			r, ended := stuckReader(), make(chan bool, 1)
			told := send(t, c, func(yield func(any) bool) { ended <- yield(r) })
			must(t, c.Send("behind"))
			c.Kick("")
			if got := get(t, told); got.out != actors.NotOpen {
				t.Fatal(got)
			}
			closed(t, r)
			if get(t, ended) {
				t.Fatal("the sequence was to go on")
			}
		})
		t.Run("057 HEAD has no body to read", func(t *testing.T) {
			h, r := m.held("HEAD")
			body := probed(strings.NewReader("never seen"))
			told := send(t, h, body)
			r.answer("HEAD")
			written(t, told)
			closed(t, body)
		})
	})
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) {
	if f.err == nil {
		panic("a reader with a bug")
	}
	return 0, f.err
}

// Options, outcomes and order: items 68 to 79.
func TestSendOutcomes(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{MailboxBytes: 32 << 20})
		t.Run("068 Send returns and SendWait waits", func(t *testing.T) {
			c, p := m.socket()
			source := make(drip)
			must(t, c.Send(source)) // has returned, although nothing can be sent yet
			waited := make(chan error)
			go func() { waited <- c.SendWait(t.Context(), "second") }()
			source <- "first"
			select {
			case err := <-waited:
				t.Fatal("overtaken", err)
			default:
			}
			close(source)
			must(t, get(t, waited))
			if s := m.read(p) + m.read(p); s != "firstsecond" {
				t.Fatal(s)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			stuck := stuckReader()
			must(t, c.Send(stuck))
			if err := c.SendWait(ctx, "never"); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			go func() { waited <- c.SendWait(context.Background(), "never") }()
			must(t, p.Disconnect()) // before it waits or after
			if err := get(t, waited); !errors.Is(err, actors.ErrClosed) {
				t.Fatal(err)
			}
		})
		t.Run("069 070 accepted or closed", func(t *testing.T) {
			c, p := m.socket()
			must(t, c.Send("yes"))
			c.Close()
			if err := c.Send("no", actors.OnOutcome(func(actors.Outcome, error) { t.Error("told") })); !errors.Is(err, actors.ErrClosed) {
				t.Fatal(err)
			}
			if m.closes(p) != 1000 {
				t.Fatal()
			}
			done(t, c)
			if err := c.Send("no", actors.OnOutcome(func(actors.Outcome, error) { t.Error("told") })); !errors.Is(err, actors.ErrClosed) {
				t.Fatal(err)
			}
		})
		t.Run("071 closes behind the last piece", func(t *testing.T) {
			c, p := m.socket()
			source := make(drip)
			must(t, c.Send(source, actors.ThenClose()))
			if err := c.Send("late"); !errors.Is(err, actors.ErrClosed) {
				t.Fatal(err)
			}
			source <- "one"
			if s := m.read(p); s != "one" || !c.IsOpen() {
				t.Fatal(s, c.IsOpen())
			}
			source <- "two"
			close(source)
			if s := m.read(p); s != "two" {
				t.Fatal(s)
			}
			if m.closes(p) != 1000 {
				t.Fatal()
			}
		})
		t.Run("074 a panic in an outcome is heard by on-error and told once", func(t *testing.T) {
			c, p := m.socket()
			calls := 0
			must(t, c.Send("x", actors.OnOutcome(func(actors.Outcome, error) { calls++; panic("in the outcome") })))
			var bug *actors.HandlerError
			if err := get(t, m.errs); !errors.As(err, &bug) || bug.Where != "completion" || bug.Reason != "in the outcome" {
				t.Fatal(err)
			}
			must(t, c.Send("y"))
			if s := m.read(p) + m.read(p); s != "xy" || calls != 1 {
				t.Fatal(s, calls)
			}
		})
		t.Run("075 029 D2 a failure nobody asked for is heard by on-error", func(t *testing.T) {
			c, _ := m.socket()
			broken := errors.New("broken")
			must(t, c.Send(&failing{broken}))
			var failed *actors.SendError
			if err := get(t, m.errs); !errors.As(err, &failed) || !errors.Is(err, broken) {
				t.Fatal(err)
			}
		})
		t.Run("076 073 one function hears which outcome", func(t *testing.T) {
			c, _ := m.socket()
			broken := errors.New("broken")
			heard := make(chan string, 2)
			both := actors.OnOutcome(func(o actors.Outcome, err error) { heard <- fmt.Sprint(o, " ", err) })
			must(t, c.Send("good", both))
			must(t, c.Send(&failing{broken}, both))
			if a, b := get(t, heard), get(t, heard); a != "written <nil>" || b != "failed broken" {
				t.Fatal(a, b)
			}
		})
		t.Run("078 079 ten senders do not interleave, each in its order", func(t *testing.T) {
			c, p := m.socket()
			var wg sync.WaitGroup
			const each = 12
			for sender := range 10 {
				wg.Go(func() {
					for i := range each {
						size := []int{1, 200, 70_000, 1 << 20}[(i+sender)%4]
						text := fmt.Sprintf("%d %d ", sender, i) + strings.Repeat(string(rune('a'+sender)), size)
						var v any = text
						if i%3 == 2 {
							v = io.MultiReader(strings.NewReader(text)) // in pieces
							must(t, c.Send(v, actors.Whole(), actors.AsText(), actors.Block(t.Context())))
							continue
						}
						must(t, c.Send(v, actors.Block(t.Context())))
					}
				})
			}
			next := [10]int{}
			for range 10 * each {
				s := m.read(p)
				var sender, i int
				if _, err := fmt.Sscanf(s, "%d %d ", &sender, &i); err != nil {
					t.Fatalf("%.40q", s)
				}
				size := []int{1, 200, 70_000, 1 << 20}[(i+sender)%4]
				if want := fmt.Sprintf("%d %d ", sender, i) + strings.Repeat(string(rune('a'+sender)), size); s != want {
					t.Fatalf("%.40q… of %d bytes", s, len(s))
				}
				if i != next[sender] {
					t.Fatalf("%d of sender %d in place of %d", i, sender, next[sender])
				}
				next[sender]++
			}
			wg.Wait()
		})
	})
}

// Outcomes and timeouts of a peer that does not read: items 72 and 77.
func TestSendToASlowPeer(t *testing.T) {
	b := actors.Callbacks{}
	t.Run("072 written means that the system has taken it", func(t *testing.T) {
		inBubble(t, actors.Config{Options: actors.Options{WriteTimeout: -1, PingInterval: -1}}, b, func(l *lab) {
			c, p := l.open(64)
			told := send(l, c, strings.Repeat("x", 1000))
			time.Sleep(time.Minute)
			if len(told) != 0 {
				l.Fatal("told before it was written")
			}
			if _, s, err := p.ReadMessage(l.Context()); err != nil || len(s) != 1000 {
				l.Fatal(len(s), err)
			}
			written(l, told)
		})
	})
	t.Run("077 what waits is taken back in time", func(t *testing.T) {
		inBubble(t, actors.Config{Options: actors.Options{WriteTimeout: -1, PingInterval: -1}}, b, func(l *lab) {
			c, p := l.open(64)
			first := send(l, c, strings.Repeat("x", 1000)) // fills the pipe
			time.Sleep(time.Second)
			start := time.Now()
			late := send(l, c, "late", actors.Within(3*time.Second))
			never := send(l, c, "in time", actors.Within(time.Hour))
			if r := get(l, late); r.out != actors.Failed || !errors.Is(r.err, actors.ErrTimeout) || time.Since(start) != 3*time.Second {
				l.Fatal(r, time.Since(start))
			}
			for _, want := range []int{1000, len("in time")} {
				if _, s, err := p.ReadMessage(l.Context()); err != nil || len(s) != want {
					l.Fatal(len(s), err)
				}
			}
			written(l, first)
			written(l, never)
		})
	})
	t.Run("077 what is on its way ends the channel", func(t *testing.T) {
		inBubble(t, actors.Config{Options: actors.Options{WriteTimeout: -1, PingInterval: -1}}, b, func(l *lab) {
			c, _ := l.open(64)
			start := time.Now()
			told := send(l, c, strings.Repeat("x", 1000), actors.Within(3*time.Second))
			if r := get(l, told); r.out != actors.Failed || !errors.Is(r.err, actors.ErrTimeout) || time.Since(start) != 3*time.Second {
				l.Fatal(r, time.Since(start))
			}
			if e := l.ended(c); e.Cause.String() != "write-timeout" {
				l.Fatal(e)
			}
		})
	})
	t.Run("077 a reader is ended between two pieces", func(t *testing.T) {
		inBubble(t, actors.Config{Options: actors.Options{PingInterval: -1}}, b, func(l *lab) {
			c, p := l.open(1 << 10)
			start := time.Now()
			r := stuckReader()
			told := send(l, c, r, actors.Within(3*time.Second))
			behind := send(l, c, "behind")
			if r := get(l, told); r.out != actors.Failed || !errors.Is(r.err, actors.ErrTimeout) || time.Since(start) != 3*time.Second {
				l.Fatal(r, time.Since(start))
			}
			get(l, r.closed)
			written(l, behind)
			if _, s, err := p.ReadMessage(l.Context()); err != nil || string(s) != "behind" {
				l.Fatal(string(s), err)
			}
		})
	})
	t.Run("077 none by default", func(t *testing.T) {
		inBubble(t, actors.Config{Options: actors.Options{WriteTimeout: -1, PingInterval: -1}}, b, func(l *lab) {
			c, p := l.open(64)
			told := send(l, c, strings.Repeat("x", 1000))
			time.Sleep(24 * time.Hour)
			if len(told) != 0 || !c.IsOpen() {
				l.Fatal("it did not wait")
			}
			_, _, err := p.ReadMessage(l.Context())
			must(l, err)
			written(l, told)
		})
	})
}
