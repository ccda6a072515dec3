package transport

import (
	"context"
	"errors"
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
// its end, and where net/http does not watch for that a write that fails.
type heldWire struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	ctx   context.Context
	body  io.Reader     // what may be left of the request's; nil: nothing that is in the way
	last  time.Duration // for what net/http writes by itself
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
	holding bool        // and has not been left
	wrote   bool        // it has begun to write the response
	stop    func() bool // ends the watch of ctx
}

func newHeldWire(w http.ResponseWriter, r *http.Request) *heldWire {
	h := &heldWire{w: w, rc: http.NewResponseController(w), ctx: r.Context(), last: writeTimeout(serverOf(r.Context()))}
	h.work.L = &h.mu
	if r.ProtoMajor == 1 && r.Body != nil && r.Header["Expect"] == nil { // else reading would ask for it
		h.body = r.Body
	}
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

func (*heldWire) dry() bool { return false }

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

// cut makes all writing fail, so that the client sees a response that broke off,
// and ends a wait for the request's body.
func (h *heldWire) cut() error {
	_ = h.rc.SetReadDeadline(time.Unix(1, 0))
	return h.rc.SetWriteDeadline(time.Unix(1, 0))
}

func (h *heldWire) yield(func(net.Conn, []byte)) bool { return false }

func (h *heldWire) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held {
		return
	}
	h.held, h.holding = true, true
	whole := false
	defer func() { h.leave(whole) }()
	h.setDeadlines(time.Time{}) // the server's timeouts are for ordinary requests
	_ = h.aside(h.drain)        // its end is the request's
	for !h.begun && !h.closed {
		h.work.Wait()
	}
	if h.begun && !h.givenUp() {
		h.wrote = true
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
	whole = true
}

// leave is the last that hold does, also when the writer has panicked. The handler
// is about to return and end the response: the request is over even if nobody else
// says so.
func (h *heldWire) leave(whole bool) {
	h.holding, h.over = false, true
	if !whole {
		h.outErr = errWriterPanicked
		h.broken = h.broken || h.wrote
	}
	h.tell(true, !whole)
	if !h.broken {
		h.setDeadlines(time.Now().Add(h.last)) // for the end, which net/http writes
	} else if h.cut() != nil && whole {
		panic(http.ErrAbortHandler) // or net/http would end the response as if it were whole
	}
}

var errWriterPanicked = errors.New("transport: the response writer panicked")

// maxUnread is how much net/http reads of a body that nobody wants.
const maxUnread = 256 << 10

// drain reads what is left of the request's body: net/http watches the connection
// only from there on, and will not write the head before either.
func (h *heldWire) drain() error {
	if h.body == nil || !h.limit(time.Now().Add(h.last)) {
		return nil
	}
	_, err := io.CopyN(io.Discard, h.body, maxUnread)
	h.limit(time.Time{})
	return err
}

// limit sets when reading and writing fail, unless they have been made to already.
func (h *heldWire) limit(by time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.givenUp() {
		h.setDeadlines(by)
	}
	return !h.givenUp()
}

// givenUp tells whether the response was given up. One that is only to break off at
// its end is written up to there, so that nobody takes what there is of its body for
// another's.
func (h *heldWire) givenUp() bool { return h.closed && h.broken }

// setDeadlines has no error that matters: a writer that knows none leaves it to the
// server's timeouts and the client's end.
func (h *heldWire) setDeadlines(by time.Time) {
	_ = h.rc.SetReadDeadline(by)
	_ = h.rc.SetWriteDeadline(by)
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
	if !h.limit(time.Now().Add(h.last)) { // nobody else would see it stuck: it does not count as unsent
		return nil
	}
	h.w.WriteHeader(h.status)
	var err error
	if h.length < 0 && body {
		err = h.rc.Flush()
	}
	h.limit(time.Time{})
	return err
}

// writeChunk counts what it has written piece by piece, so that a client that is
// slow is seen to take something.
func (h *heldWire) writeChunk() error {
	for rest := h.chunk[:h.writing]; ; { // the owner leaves both alone until all is written
		n := min(len(rest), writePiece)
		if _, err := h.w.Write(rest[:n]); err != nil {
			return err
		}
		if rest = rest[n:]; len(rest) == 0 {
			return h.rc.Flush()
		}
		h.mu.Lock()
		h.writing = len(rest)
		h.mu.Unlock()
	}
}

func (h *heldWire) remoteAddr() net.Addr { r, _ := h.addrs(); return r }
func (h *heldWire) localAddr() net.Addr  { _, l := h.addrs(); return l }
func (h *heldWire) driver() Driver       { return DriverGoroutine }

func (h *heldWire) tear() {} // close does that
