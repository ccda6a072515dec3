package transport

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// heldWire writes through an http.ResponseWriter that net/http does not give
// away (HTTP/2, or wrapped). The writer is the handler's own goroutine, lent by
// Hold. There is no input; the end of the request's context is its end.
type heldWire struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	ctx    context.Context
	status int
	addrs  func() (remote, local net.Addr)

	mu      sync.Mutex
	work    sync.Cond // holder: bytes to write, fin or closed
	sink    Sink
	chunk   *[writeChunk]byte
	writing int
	outErr  error
	fin     bool // no more will be written
	over    bool // the request has ended
	closed  bool
	holding bool
	stop    func() bool // ends the watch of ctx
}

func newHeldWire(w http.ResponseWriter, r *http.Request, status int) *heldWire {
	h := &heldWire{w: w, rc: http.NewResponseController(w), ctx: r.Context(), status: status}
	h.work.L = &h.mu
	remote := textAddr(r.RemoteAddr)
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	h.addrs = func() (net.Addr, net.Addr) { return remote, local }
	return h
}

// textAddr is an address of which only the text is known.
type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }

// canFlush tells whether a response can be pushed out in the middle. It looks
// through wrappers as http.ResponseController does, without writing.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case interface{ FlushError() error }, http.Flusher:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

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
	if h.holding && !(h.fin && h.writing == 0) {
		_ = h.rc.SetWriteDeadline(time.Unix(1, 0)) // where it is not supported the client's end or the server's timeout frees it
	}
	h.work.Signal()
}

func (h *heldWire) hold() {
	h.mu.Lock()
	if h.closed || h.holding {
		h.mu.Unlock()
		return
	}
	h.holding = true
	h.mu.Unlock()

	_ = h.rc.SetWriteDeadline(time.Time{}) // the server's WriteTimeout is for ordinary answers
	h.w.WriteHeader(h.status)
	err := h.rc.Flush()

	h.mu.Lock()
	for {
		if err != nil && h.outErr == nil {
			h.outErr = err
			s := h.sink
			h.mu.Unlock()
			signal(s, false, true)
			h.mu.Lock()
		}
		for !h.closed && (h.writing == 0 || h.outErr != nil) && !(h.fin && h.writing == 0) {
			h.work.Wait()
		}
		if h.closed || h.writing == 0 {
			break
		}
		chunk, n := h.chunk, h.writing
		h.mu.Unlock()
		if _, err = h.w.Write(chunk[:n]); err == nil {
			err = h.rc.Flush()
		}
		h.mu.Lock()
		if err == nil {
			h.writing, h.chunk = 0, nil
			writeChunks.Put(chunk)
			s := h.sink
			h.mu.Unlock()
			signal(s, false, true)
			h.mu.Lock()
		}
	}
	// The handler is about to return and end the response: the request is over
	// even if nobody else says so.
	h.holding, h.over = false, true
	s := h.sink
	h.mu.Unlock()
	signal(s, true, false)
}

func (h *heldWire) remoteAddr() net.Addr { r, _ := h.addrs(); return r }
func (h *heldWire) localAddr() net.Addr  { _, l := h.addrs(); return l }
func (h *heldWire) driver() Driver       { return DriverGoroutine }
