package troupe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// rest reads a body to its end.
func rest(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(b)
}

// again is another request on a connection whose last response is complete.
func (m *meeting) again(r *raw, method string, header ...string) *actors.Channel {
	m.Helper()
	r.asks(method, "HTTP/1.1", header...)
	return get(m, m.channels)
}

// stillGood fails the test unless the connection serves another request.
func (m *meeting) stillGood(r *raw) {
	m.Helper()
	c := m.again(r, "GET")
	must(m, c.Send("the next one", actors.ThenClose()))
	if resp := r.answer("GET"); resp.StatusCode != 200 || rest(m, resp) != "the next one" {
		m.Fatal(resp)
	}
}

// ends fails the test unless the connection ends here.
func (r *raw) ends() {
	r.t.Helper()
	if b, err := io.ReadAll(r.Reader); len(b) > 0 || err != nil {
		r.t.Fatalf("%q, %v", b, err)
	}
}

// HTTP streams: items 81 to 89.
func TestStreams(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{})
		t.Run("081 ten sends are ten chunks", func(t *testing.T) {
			h, r := m.held("GET")
			for i := range 10 { // each arrives before the next is sent
				must(t, h.Send(fmt.Sprint("chunk ", i)))
				if i == 0 {
					if head := r.head(); !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") ||
						!strings.Contains(head, "Transfer-Encoding: chunked\r\n") || strings.Contains(head, "Content-Length") {
						t.Fatal(head)
					}
				}
				if s := r.chunk(); s != fmt.Sprint("chunk ", i) {
					t.Fatal(s)
				}
			}
			for i := range 10 { // also if they leave together
				must(t, h.Send(fmt.Sprint("chunk ", i)))
			}
			h.Close()
			for i := range 10 {
				if s := r.chunk(); s != fmt.Sprint("chunk ", i) {
					t.Fatal(s)
				}
			}
			if s := r.chunk(); s != "" {
				t.Fatal(s)
			}
		})
		file := func() any {
			path := filepath.Join(t.TempDir(), "file")
			must(t, os.WriteFile(path, []byte("body"), 0o600))
			f, err := os.Open(path)
			must(t, err)
			return f
		}
		for kind, body := range map[string]any{
			"string": "body", "bytes": []byte("body"), "file": file(), "reader": strings.NewReader("body"), "buffer": bytes.NewBufferString("body"),
		} {
			t.Run("082 a first send that closes is an ordinary response: "+kind, func(t *testing.T) {
				h, r := m.held("GET")
				must(t, h.Send(body, actors.ThenClose()))
				if head := r.head(); !strings.Contains(head, "\r\nContent-Length: 4\r\n") || strings.Contains(head, "Transfer-Encoding") {
					t.Fatal(head)
				}
				b := make([]byte, 4)
				if _, err := io.ReadFull(r, b); err != nil || string(b) != "body" {
					t.Fatal(string(b), err)
				}
				m.stillGood(r)
			})
		}
		t.Run("084 the default content type", func(t *testing.T) {
			h, r := m.held("GET")
			must(t, h.Send("x"))
			if head := r.head(); !strings.Contains(head, "\r\nContent-Type: text/html; charset=utf-8\r\n") {
				t.Fatal(head)
			}
			h, r = m.held("GET")
			must(t, h.Send(actors.Response{Header: http.Header{"Content-Type": {"text/csv"}}}))
			if head := r.head(); !strings.Contains(head, "\r\nContent-Type: text/csv\r\n") || strings.Contains(head, "html") {
				t.Fatal(head)
			}
		})
		t.Run("085 HTTP 1.0 ends with the connection", func(t *testing.T) {
			for _, keep := range []string{"X: y", "Connection: keep-alive"} {
				r := m.raw()
				r.asks("GET", "HTTP/1.0", keep)
				h := get(t, m.channels)
				must(t, h.Send("one "))
				if head := r.head(); !strings.Contains(head, "\r\nConnection: close\r\n") ||
					strings.Contains(head, "chunked") || strings.Contains(head, "Content-Length") {
					t.Fatal(head)
				}
				b := make([]byte, 4)
				if _, err := io.ReadFull(r, b); err != nil || string(b) != "one " {
					t.Fatal(string(b), err)
				}
				must(t, h.Send("two", actors.ThenClose()))
				if b, err := io.ReadAll(r); err != nil || string(b) != "two" {
					t.Fatal(string(b), err)
				}
			}
		})
		t.Run("086 closed without a send", func(t *testing.T) {
			h, r := m.held("GET")
			h.Close()
			if head := r.head(); !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") ||
				!strings.Contains(head, "\r\nContent-Length: 0\r\n") || strings.Contains(head, "Transfer-Encoding") {
				t.Fatal(head)
			}
			m.stillGood(r)
		})
		t.Run("087 HEAD ends with the first send", func(t *testing.T) {
			for _, v := range []struct {
				send    any
				options []actors.SendOption
				status  int
				length  string
			}{
				{"body", nil, 200, ""},
				{"body", []actors.SendOption{actors.ThenClose()}, 200, "4"},
				{nil, nil, 200, ""},
				{actors.Response{Status: 404, Body: []byte("body")}, nil, 404, ""},
				{actors.Response{Status: 404}, nil, 404, ""},
			} {
				h, r := m.held("HEAD")
				written(t, send(t, h, v.send, v.options...))
				resp := r.answer("HEAD")
				if resp.StatusCode != v.status || resp.Header.Get("Content-Length") != v.length || rest(t, resp) != "" {
					t.Fatal(resp)
				}
				done(t, h)
				if err := h.Send("more"); !errors.Is(err, actors.ErrClosed) {
					t.Fatal(err)
				}
				m.stillGood(r)
			}
			h, r := m.held("HEAD")
			h.Close()
			if resp := r.answer("HEAD"); resp.StatusCode != 200 {
				t.Fatal(resp)
			}
			m.stillGood(r)
		})
		t.Run("087 HEAD of server-sent events does not hang", func(t *testing.T) {
			h, r := m.held("HEAD", "Accept: text/event-stream") // nothing is ever sent
			if resp := r.answer("HEAD"); resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
				t.Fatal(resp)
			}
			done(t, h)
			m.stillGood(r)
		})
		t.Run("088 statuses without a body", func(t *testing.T) {
			for _, status := range []int{204, 304} {
				h, r := m.held("GET")
				told := send(t, h, actors.Response{Status: status, Header: http.Header{"X": {"y"}}, Body: "never seen"})
				head := r.head()
				if !strings.HasPrefix(head, fmt.Sprintf("HTTP/1.1 %d ", status)) || !strings.Contains(head, "\r\nX: y\r\n") ||
					strings.Contains(head, "Transfer-Encoding") || strings.Contains(head, "Content-Length") {
					t.Fatal(head)
				}
				written(t, told)
				done(t, h)
				m.stillGood(r)
			}
		})
		t.Run("089 nothing is no chunk", func(t *testing.T) {
			h, r := m.held("GET")
			for _, empty := range []any{"", []byte{}, nil, "", strings.NewReader(""), func(func(any) bool) {}} {
				written(t, send(t, h, empty))
			}
			must(t, h.Send("something"))
			r.head()
			if s := r.chunk(); s != "something" {
				t.Fatalf("%q", s)
			}
			must(t, h.Send(""))
			h.Close()
			if s := r.chunk(); s != "" {
				t.Fatalf("%q", s)
			}
			m.stillGood(r)
		})
	})
}

// Whose status and headers count: item 83.
func TestStreamHeads(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{Prepare: func(_ *actors.Channel, h *actors.Head) {
			h.Status = 202
			h.Header.Set("X-Prepared", "yes")
		}})
		outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Outer", "yes")
			w.Header().Set("X-Prepared", "no")
			m.ep.ServeHTTP(w, r)
		}))
		t.Cleanup(outer.Close)
		m.url = "ws" + strings.TrimPrefix(outer.URL, "http")
		check := func(t *testing.T, resp *http.Response, status int, body string) {
			t.Helper()
			if got := rest(t, resp); resp.StatusCode != status || got != body ||
				resp.Header.Get("X-Outer") != "yes" || resp.Header.Get("X-Prepared") != "yes" {
				t.Fatal(resp, got)
			}
		}
		t.Run("083 those of the handler", func(t *testing.T) {
			h, r := m.held("GET")
			must(t, h.Send("body", actors.ThenClose()))
			check(t, r.answer("GET"), 202, "body")
		})
		t.Run("086 also if nothing is sent", func(t *testing.T) {
			h, r := m.held("GET")
			h.Close()
			check(t, r.answer("GET"), 202, "")
		})
		t.Run("083 the first send overrides and then they are fixed", func(t *testing.T) {
			h, r := m.held("GET")
			must(t, h.Send(actors.Response{Status: 418, Body: "one "}))
			if err := h.Send(actors.Response{Status: 500, Body: "never"}); !errors.Is(err, actors.ErrStarted) {
				t.Fatal(err)
			}
			must(t, h.Send("two", actors.ThenClose()))
			check(t, r.answer("GET"), 418, "one two")
		})
	})
}

// Clients that leave: item 90, and D3.
func TestClientsThatLeave(t *testing.T) {
	type seen struct {
		actors.Closed
		open bool
	}
	stage := func(t *testing.T, d transport.Driver) (*meeting, chan seen) {
		ends := make(chan seen, 16)
		m := &meeting{channels: make(chan *actors.Channel, 64)}
		m.stage = play(t, d, actors.Options{}, actors.Callbacks{
			Open:  func(c *actors.Channel) { m.channels <- c },
			Close: func(c *actors.Channel, e actors.Closed) { ends <- seen{e, c.IsOpen()} },
		})
		return m, ends
	}
	check := func(t *testing.T, c *actors.Channel, ends chan seen) {
		t.Helper()
		e := get(t, ends)
		if e.Channel != c || e.Name() != "client-close" || e.Cause != supervisor.CauseConnectionLost || e.Code != 0 || e.Reason != "" || e.open {
			t.Fatal(e, e.open)
		}
		if err := c.Send("x"); !errors.Is(err, actors.ErrClosed) {
			t.Fatal(err)
		}
		done(t, c)
		if len(ends) != 0 {
			t.Fatal("told twice")
		}
	}
	kinds := []struct {
		name   string
		accept string
		begin  func(t *testing.T, c *actors.Channel)
	}{
		{"stream", "*/*", func(t *testing.T, c *actors.Channel) { must(t, c.Send("begun")) }},
		{"events", "text/event-stream", func(t *testing.T, c *actors.Channel) { must(t, c.Send("begun")) }},
		{"events of which there were none", "text/event-stream", func(*testing.T, *actors.Channel) {}},
		{"long poll", "*/*", nil},
	}
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m, ends := stage(t, d)
		for _, kind := range kinds {
			for way, leave := range map[string]func(r *raw){
				"closes": func(r *raw) { must(t, r.Close()) },
				"resets": func(r *raw) {
					must(t, r.Conn.(interface{ SetLinger(int) error }).SetLinger(0))
					must(t, r.Close())
				},
			} {
				t.Run("090 D3 the client of a "+kind.name+" "+way, func(t *testing.T) {
					h, r := m.held("GET", "Accept: "+kind.accept)
					if kind.begin != nil {
						kind.begin(t, h)
						r.head()
					}
					leave(r)
					check(t, h, ends)
				})
			}
		}
	})
	m, ends := stage(t, actors.DriverAuto)
	h2 := m.secure()
	for _, kind := range kinds {
		t.Run("090 over HTTP 2: "+kind.name, func(t *testing.T) {
			call := m.calls(h2, "GET", kind.accept)
			if kind.begin != nil {
				kind.begin(t, call.Channel)
				call.begun(t)
			}
			call.leave()
			check(t, call.Channel, ends)
		})
	}
}

// secure is the stage over TLS and HTTP/2.
func (m *meeting) secure() *httptest.Server {
	s := httptest.NewUnstartedServer(m.ep)
	s.EnableHTTP2 = true
	s.StartTLS()
	m.Cleanup(s.Close)
	return s
}

// exchange is a request over HTTP/2, seen from both ends.
type exchange struct {
	*actors.Channel
	answer chan *http.Response // when its head has come; closed without one
	leave  context.CancelFunc
}

func (m *meeting) calls(s *httptest.Server, method, accept string) *exchange {
	m.Helper()
	ctx, cancel := context.WithCancel(m.Context())
	m.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, s.URL, nil)
	must(m, err)
	r.Header.Set("Accept", accept)
	c := &exchange{answer: make(chan *http.Response, 1), leave: cancel}
	go func() {
		defer close(c.answer)
		if resp, err := s.Client().Do(r); err == nil { // else nobody waits for it, or fails
			c.answer <- resp
		}
	}()
	c.Channel = get(m, m.channels)
	return c
}

// begun is the response, whose body the test closes.
func (c *exchange) begun(t testing.TB) *http.Response {
	t.Helper()
	resp := get(t, c.answer)
	if resp == nil || resp.ProtoMajor != 2 {
		t.Fatal(resp)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// The same over HTTP/2, where net/http writes.
func TestStreamsOverHTTP2(t *testing.T) {
	m := meet(t, actors.DriverAuto, actors.Options{})
	s := m.secure()
	t.Run("081 each of ten sends is flushed", func(t *testing.T) {
		c := m.calls(s, "GET", "*/*")
		b := make([]byte, 64)
		var body io.Reader
		for i := range 10 {
			must(t, c.Send(fmt.Sprint("piece ", i)))
			if i == 0 {
				resp := c.begun(t)
				if body = resp.Body; resp.ContentLength != -1 {
					t.Fatal(resp)
				}
			}
			if n, err := body.Read(b); err != nil || string(b[:n]) != fmt.Sprint("piece ", i) {
				t.Fatal(string(b[:n]), err)
			}
		}
		c.Close()
		if n, err := body.Read(b); n != 0 || err != io.EOF {
			t.Fatal(n, err)
		}
	})
	t.Run("082 a first send that closes", func(t *testing.T) {
		for _, v := range []any{"body", []byte("body"), strings.NewReader("body")} {
			c := m.calls(s, "GET", "*/*")
			must(t, c.Send(v, actors.ThenClose()))
			if resp := c.begun(t); resp.ContentLength != 4 || rest(t, resp) != "body" {
				t.Fatal(resp)
			}
		}
	})
	t.Run("086 closed without a send", func(t *testing.T) {
		c := m.calls(s, "GET", "*/*")
		c.Channel.Close()
		if resp := c.begun(t); resp.StatusCode != 200 || resp.ContentLength != 0 || rest(t, resp) != "" {
			t.Fatal(resp)
		}
	})
	t.Run("087 HEAD", func(t *testing.T) {
		for _, accept := range []string{"*/*", "text/event-stream"} {
			c := m.calls(s, "HEAD", accept)
			if accept == "*/*" { // events need no send
				must(t, c.Send(actors.Response{Status: 206, Body: "never seen"}))
			}
			if resp := c.begun(t); resp.StatusCode == 200 != (accept != "*/*") || rest(t, resp) != "" {
				t.Fatal(resp)
			}
			done(t, c.Channel)
		}
	})
	t.Run("088 a status without a body", func(t *testing.T) {
		c := m.calls(s, "GET", "*/*")
		must(t, c.Send(actors.Response{Status: 204, Body: "never seen"}))
		if resp := c.begun(t); resp.StatusCode != 204 || rest(t, resp) != "" {
			t.Fatal(resp)
		}
		done(t, c.Channel)
	})
	t.Run("093 one head however many begin", func(t *testing.T) {
		for range 20 {
			c := m.calls(s, "GET", "*/*")
			want := begins(t, c.Channel)
			c.Channel.Close()
			want.check(t, c.begun(t))
		}
	})
	t.Run("094 what ends badly does not look complete", func(t *testing.T) {
		c := m.calls(s, "GET", "*/*")
		must(t, c.Send("begun"))
		resp := c.begun(t)
		must(t, c.Send(&failing{errors.New("broken")}, actors.ThenClose()))
		if b, err := io.ReadAll(resp.Body); err == nil || string(b) != "begun" {
			t.Fatal(string(b), err)
		}
	})
	t.Run("096 a long poll", func(t *testing.T) {
		for i := range 3 {
			c := m.calls(s, "GET", "*/*")
			must(t, c.Send(strconv.Itoa(i), actors.ThenClose()))
			if resp := c.begun(t); rest(t, resp) != strconv.Itoa(i) {
				t.Fatal(resp)
			}
			done(t, c.Channel)
		}
	})
}

// beginning is what became of many sends that all could be the first.
type beginning struct {
	status int
	bodies []string
}

func begins(t testing.TB, c *actors.Channel) beginning {
	t.Helper()
	const senders = 8
	want := beginning{status: 200}
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	sends := func(v any, body string, status int) {
		wg.Go(func() {
			<-start
			err := c.Send(v)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				want.bodies = append(want.bodies, body)
				want.status = max(want.status, status)
			case status == 0 || !errors.Is(err, actors.ErrStarted):
				t.Error(v, err)
			}
		})
	}
	for i := range senders {
		with, plain := fmt.Sprintf("<response %d>", i), fmt.Sprintf("<plain %d>", i)
		sends(actors.Response{Status: 400 + i, Body: with}, with, 400+i)
		sends(plain, plain, 0)
	}
	close(start)
	wg.Wait()
	if n := len(want.bodies); n != senders && n != senders+1 {
		t.Fatalf("%d of %d sends were the first", n-senders, senders)
	}
	return want
}

func (b beginning) check(t testing.TB, resp *http.Response) {
	t.Helper()
	got := rest(t, resp)
	if resp.StatusCode != b.status || len(got) != len(strings.Join(b.bodies, "")) {
		t.Fatal(resp, got)
	}
	for _, body := range b.bodies {
		if strings.Count(got, body) != 1 {
			t.Fatalf("%d times %s", strings.Count(got, body), body)
		}
	}
}

// Many requests on one connection: items 91 to 93, 95 and 96.
func TestStreamsOnOneConnection(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{})
		t.Run("091 what is complete stays closed", func(t *testing.T) {
			r := m.raw()
			var old []*actors.Channel
			for i := range 10 {
				h := m.again(r, "GET")
				for _, c := range old { // while this response has not begun
					if err := c.Send("too late"); !errors.Is(err, actors.ErrClosed) || c.IsOpen() || c.Close() {
						t.Fatal(err)
					}
				}
				must(t, h.Send(fmt.Sprint("one ", i)))
				resp := r.answer("GET")
				for _, c := range old { // and in the middle of it
					if err := c.SendWait(t.Context(), "too late"); !errors.Is(err, actors.ErrClosed) {
						t.Fatal(err)
					}
				}
				must(t, h.Send(" two", actors.ThenClose()))
				if got := rest(t, resp); got != fmt.Sprintf("one %d two", i) {
					t.Fatal(got)
				}
				old = append(old, h)
			}
		})
		t.Run("092 the next request waits for the end of the stream", func(t *testing.T) {
			r := m.raw()
			const request = "GET /%d HTTP/1.1\r\nHost: test\r\n\r\n"
			_, err := fmt.Fprintf(r, request+request+request, 0, 1, 2)
			must(t, err)
			for i := range 3 {
				h := get(t, m.channels)
				if got := h.Request().URL.Path; got != fmt.Sprint("/", i) {
					t.Fatal(got)
				}
				must(t, h.Send(fmt.Sprint("begun ", i)))
				resp := r.answer("GET")
				if len(m.channels) != 0 {
					t.Fatal("another channel is open")
				}
				must(t, h.Send(" done", actors.ThenClose()))
				if got := rest(t, resp); got != fmt.Sprintf("begun %d done", i) {
					t.Fatal(got)
				}
			}
		})
		t.Run("093 one head however many begin", func(t *testing.T) {
			r := m.raw()
			for range 50 {
				h := m.again(r, "GET")
				want := begins(t, h)
				h.Close()
				want.check(t, r.answer("GET"))
			}
		})
		t.Run("095 the client wants the connection to end", func(t *testing.T) {
			h, r := m.held("GET", "Connection: close")
			must(t, h.Send("one "))
			must(t, h.Send("two", actors.ThenClose()))
			if resp := r.answer("GET"); !resp.Close || rest(t, resp) != "one two" {
				t.Fatal(resp)
			}
			r.ends()
		})
		t.Run("095 the handler wants the connection to end", func(t *testing.T) {
			h, r := m.held("GET")
			must(t, h.Send(actors.Response{Header: http.Header{"Connection": {"close"}}, Body: "body"}, actors.ThenClose()))
			if resp := r.answer("GET"); !resp.Close || rest(t, resp) != "body" {
				t.Fatal(resp)
			}
			r.ends()
		})
		t.Run("096 long polls", func(t *testing.T) {
			r := m.raw()
			for i := range 20 {
				h := m.again(r, "GET") // held: nothing is sent
				go func() {
					if err := h.Send(strconv.Itoa(i), actors.ThenClose()); err != nil {
						t.Error(err)
					}
				}()
				if resp := r.answer("GET"); resp.ContentLength < 1 || resp.Close || rest(t, resp) != strconv.Itoa(i) {
					t.Fatal(resp)
				}
				done(t, h)
			}
		})
	})
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{Prepare: func(_ *actors.Channel, h *actors.Head) { h.Header.Set("Connection", "close") }})
		t.Run("095 Prepare wants the connection to end", func(t *testing.T) {
			h, r := m.held("GET")
			h.Close()
			if resp := r.answer("GET"); !resp.Close || rest(t, resp) != "" {
				t.Fatal(resp)
			}
			r.ends()
		})
	})
}

// An error after the response began: item 94.
func TestStreamsThatEndBadly(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := &meeting{channels: make(chan *actors.Channel, 64)}
		m.stage = play(t, d, actors.Options{
			MailboxMessages: 4, MailboxBytes: 256 << 10,
			Intensity: supervisor.Intensity{Max: 1, Within: 1 << 40},
		}, actors.Callbacks{
			Open:    func(c *actors.Channel) { m.channels <- c },
			Receive: func(*actors.Channel, actor.Context) { panic("as asked") },
		})
		broken := func() any { return io.MultiReader(strings.NewReader("half"), &failing{errors.New("broken")}) }
		for _, way := range []struct {
			name  string
			end   func(t *testing.T, c *actors.Channel)
			cause supervisor.Cause
			body  string // "": as much as had gone out
		}{
			{"the handler fails", func(t *testing.T, c *actors.Channel) {
				m.rt.System().Root.Send(c.PID(), "one")
				m.rt.System().Root.Send(c.PID(), "two")
			}, supervisor.CauseHandlerFailed, "begun"},
			{"the source of the last send fails", func(t *testing.T, c *actors.Channel) {
				must(t, c.Send(broken(), actors.ThenClose()))
			}, supervisor.CauseTransportError, "begunhalf"},
			{"the client is too slow", func(t *testing.T, c *actors.Channel) {
				for c.IsOpen() { // it reads nothing meanwhile
					_ = c.Send(strings.Repeat("x", 100_000), actors.WithPolicy(actors.CloseSlow))
				}
			}, supervisor.CauseSlowConsumer, ""},
		} {
			for _, accept := range []string{"*/*", "text/event-stream"} {
				t.Run("094 "+way.name+": "+accept, func(t *testing.T) {
					h, r := m.held("GET", "Accept: "+accept)
					must(t, h.Send("begun"))
					resp := r.answer("GET")
					way.end(t, h)
					b, err := io.ReadAll(resp.Body)
					if err == nil {
						t.Fatalf("the response of %d bytes looks complete", len(b))
					}
					if accept == "*/*" && way.body != "" && string(b) != way.body {
						t.Fatalf("%q", b)
					}
					if bytes.Contains(b, []byte("HTTP/1.1")) {
						t.Fatal("a second response")
					}
					if n, _ := r.Reader.Read(make([]byte, 1)); n != 0 {
						t.Fatal("something comes behind it")
					}
					e := make(chan actors.Closed, 1)
					h.OnClose(func(end actors.Closed) { e <- end })
					if end := get(t, e); end.Cause != way.cause || end.Name() != "server-close" {
						t.Fatal(end)
					}
				})
			}
		}
		t.Run("094 a file that is shorter than it was", func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			must(t, os.WriteFile(path, blob(100_000), 0o600))
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			h, r := m.held("GET")
			must(t, h.Send(&truncated{f}, actors.ThenClose()))
			resp := r.answer("GET")
			if b, err := io.ReadAll(resp.Body); err == nil || resp.ContentLength != 100_000 || len(b) >= 100_000 {
				t.Fatal(len(b), err)
			}
		})
		t.Run("094 to HTTP 1.0 only a reset says that something is missing", func(t *testing.T) {
			r := m.raw()
			r.asks("GET", "HTTP/1.0")
			h := get(t, m.channels)
			must(t, h.Send("half"))
			r.head()
			b := make([]byte, 4)
			_, err := io.ReadFull(r, b)
			must(t, err)
			must(t, h.Send(&failing{errors.New("broken")}, actors.ThenClose()))
			if b, err := io.ReadAll(r); err == nil {
				t.Fatalf("it looks whole: %q", b)
			}
		})
		t.Run("094 a send that fails in the middle costs the stream nothing", func(t *testing.T) {
			h, r := m.held("GET")
			must(t, h.Send("begun "))
			if got := get(t, send(t, h, broken())); got.out != actors.Failed {
				t.Fatal(got)
			}
			must(t, h.Send(" done", actors.ThenClose()))
			if resp := r.answer("GET"); rest(t, resp) != "begun half done" {
				t.Fatal(resp)
			}
		})
	})
}

// truncated is a file that ends after one piece.
type truncated struct{ *os.File }

func (f *truncated) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if err == nil {
		err = f.Truncate(0)
	}
	return n, err
}
