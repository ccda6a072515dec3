package transport

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// heldWire writes through an http.ResponseWriter that net/http does not give
// away (HTTP/2) or that middleware has wrapped. The writer is the handler's own
// goroutine, lent by Hold. There is no input; the end of the request's context is
// its end.
type heldWire struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	ctx   context.Context
	addrs func() (remote, local net.Addr)

	mu      sync.Mutex
	work    sync.Cond // holder: a head or bytes to write, fin or closed
	sink    Sink
	begun   bool
	status  int // the head's, once begun
	header  http.Header
	length  int64 // -1: not known
	chunk   *[writeChunk]byte
	writing int
	outErr  error
	fin     bool // no more will be written
	broken  bool // the response must not look complete
	over    bool // the request has ended
	closed  bool
	held    bool        // hold was called
	holding bool        // and has not returned
	stop    func() bool // ends the watch of ctx
}

func newHeldWire(w http.ResponseWriter, r *http.Request) *heldWire {
	h := &heldWire{w: w, rc: http.NewResponseController(w), ctx: r.Context()}
	h.work.L = &h.mu
	remote := textAddr(r.RemoteAddr)
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	h.addrs = func() (net.Addr, net.Addr) { return remote, local }
	return h
}

// begin gives the holder the head to write. Called once.
func (h *heldWire) begin(status int, header http.Header, length int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begun, h.status, h.header, h.length = true, status, header, length
	h.work.Signal()
}

// breakOff is called before closeWrite when the body is too short.
func (h *heldWire) breakOff() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = true
}

// textAddr is an address of which only the text is known.
type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }

func (h *heldWire) start(s Sink) {
	h.mu.Lock()
	h.sink = s
	h.mu.Unlock()
	stop := context.AfterFunc(h.ctx, h.requestOver)
	h.mu.Lock()
	h.stop = stop
	h.mu.Unlock()
}

func (h *heldWire) requestOver() {
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	h.wake()
}

func (h *heldWire) wake() {
	h.mu.Lock()
	s := h.sink
	h.mu.Unlock()
	signal(s, true, false)
}

func (h *heldWire) read([]byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return 0, io.EOF
	}
	return 0, errAgain
}

func (h *heldWire) writev(bufs [][]byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.outErr != nil {
		return 0, h.outErr
	}
	if h.writing > 0 || len(bufs) == 0 {
		return 0, nil
	}
	h.chunk = writeChunks.Get().(*[writeChunk]byte)
	n := 0
	for _, b := range bufs {
		n += copy(h.chunk[n:], b)
	}
	h.writing = n
	h.work.Signal()
	return n, nil
}

func (h *heldWire) unsent() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.writing
}

func (h *heldWire) closeWrite() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fin = true
	h.work.Signal()
	return nil
}

// close also frees a holder whose write waits for the client. The deadline may
// only be touched while the handler runs: afterwards the writer is net/http's.
func (h *heldWire) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed, h.sink = true, nil
	if h.stop != nil {
		h.stop()
	}
	if !h.fin || h.writing > 0 {
		h.broken = true
		if h.holding {
			_ = h.cut() // where it is not supported the client's end or the server's timeout frees the holder
		}
	}
	h.work.Signal()
}

// cut makes all writing fail, so that the client sees a response that broke off.
func (h *heldWire) cut() error { return h.rc.SetWriteDeadline(time.Unix(1, 0)) }

func (h *heldWire) yield(func(net.Conn, []byte)) bool { return false }

func (h *heldWire) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held {
		return
	}
	h.held, h.holding = true, true
	// The server's timeouts are for ordinary requests.
	_ = h.rc.SetWriteDeadline(time.Time{})
	_ = h.rc.SetReadDeadline(time.Time{})

	for !h.begun && !h.closed {
		h.work.Wait()
	}
	if h.begun && !h.broken {
		if h.outErr = h.aside(h.writeHead); h.outErr != nil {
			h.tell(false, true)
		}
	}
	for {
		for !h.closed && (h.writing == 0 || h.outErr != nil) && !(h.fin && h.writing == 0) {
			h.work.Wait()
		}
		if h.closed || h.writing == 0 {
			break
		}
		if h.outErr = h.aside(h.writeChunk); h.outErr == nil {
			writeChunks.Put(h.chunk)
			h.writing, h.chunk = 0, nil
		}
		h.tell(false, true)
	}
	// The handler is about to return and end the response: the request is over
	// even if nobody else says so.
	h.holding, h.over = false, true
	h.tell(true, false)
	if h.broken && h.cut() != nil {
		panic(http.ErrAbortHandler) // or net/http would end the response as if it were whole
	}
}

// aside writes without mu.
func (h *heldWire) aside(write func() error) error {
	h.mu.Unlock()
	defer h.mu.Lock()
	return write()
}

// tell signals without mu.
func (h *heldWire) tell(readable, writable bool) {
	s := h.sink
	h.mu.Unlock()
	defer h.mu.Lock()
	signal(s, readable, writable)
}

// writeHead does not push out a head that the body, or the end, will soon follow:
// it leaves with that.
func (h *heldWire) writeHead() error {
	out := h.w.Header()
	clear(out)
	maps.Copy(out, h.header)
	body := bodyAllowed(h.status)
	if h.length >= 0 && body {
		out["Content-Length"] = []string{strconv.FormatInt(h.length, 10)}
	}
	h.w.WriteHeader(h.status)
	if h.length >= 0 || !body {
		return nil
	}
	return h.rc.Flush()
}

func (h *heldWire) writeChunk() error {
	if _, err := h.w.Write(h.chunk[:h.writing]); err != nil {
		return err
	}
	return h.rc.Flush()
}

func (h *heldWire) remoteAddr() net.Addr { r, _ := h.addrs(); return r }
func (h *heldWire) localAddr() net.Addr  { _, l := h.addrs(); return l }
func (h *heldWire) driver() Driver       { return DriverGoroutine }

func (h *heldWire) tear() {} // close does that
