package transport

import (
	"io"
	"net/http"
	"sync"
)

// tunnelWire is a held wire with input: the stream of HTTP/2 that an extended
// CONNECT has made a connection (RFC 8441). The handler's goroutine writes; a
// reader of its own reads the request's body, no further than the owner has taken
// what came before. It ends with the stream, which ends at the latest when the
// handler returns.
//
// The stream ends in order by END_STREAM: when our direction is closed the handler
// returns, and net/http asks the client to send no more.
type tunnelWire struct {
	*heldWire
	from io.ReadCloser

	// Guarded by mu.
	room    sync.Cond // reader: the buffer was emptied, or nobody wants more; holder: the reader has ended
	in      []byte    // read and not taken; reader → owner
	inErr   error     // what ended the reader
	inDone  bool
	reading bool // there is a reader
	torn    bool
}

func newTunnelWire(w http.ResponseWriter, r *http.Request, head http.Header) *tunnelWire {
	t := &tunnelWire{heldWire: newHeldWire(w, r), from: r.Body}
	t.room.L = &t.mu
	t.begin(http.StatusOK, head, -1)
	return t
}

// start does not watch the request's context: what had come before it was over is
// still in the body.
func (t *tunnelWire) start(s Sink) {
	t.mu.Lock()
	t.sink = s
	over := t.over // then the body is net/http's again
	if t.reading = !over; t.reading {
		go t.reader()
	}
	t.mu.Unlock()
	signal(s, over, false)
}

// hold returns when nobody reads any more: what middleware has put around the body
// may use the response writer, which is not ours afterwards.
func (t *tunnelWire) hold() {
	defer func() {
		t.mu.Lock()
		over := t.over
		t.mu.Unlock()
		if !over { // it is held by another call
			return
		}
		t.from.Close() // ends a Read; if it does not, the deadline that leave has set does
		t.mu.Lock()
		defer t.mu.Unlock()
		t.room.Broadcast()
		for t.reading {
			t.room.Wait()
		}
	}()
	t.heldWire.hold()
}

func (t *tunnelWire) reader() {
	buf := make([]byte, smallRead)
	for {
		n, err := t.from.Read(buf)
		if n == 0 && err == nil {
			continue
		}
		t.mu.Lock()
		t.in, t.inErr, t.inDone = buf[:n], err, err != nil
		t.tell(true, false)
		for len(t.in) > 0 && !t.inDone && !t.closed && !t.over {
			t.room.Wait()
		}
		done := t.inDone || t.closed || t.over
		if done {
			t.reading = false
			t.room.Broadcast()
		}
		t.mu.Unlock()
		if done {
			return
		}
		buf = nextBuffer(buf, n)
	}
}

func (t *tunnelWire) read(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.in) == 0 && t.over: // by ourselves; what net/http makes of that says nothing
		return 0, io.EOF
	case len(t.in) == 0 && t.inDone:
		return 0, t.inErr
	case len(t.in) == 0 || len(p) == 0:
		return 0, errAgain
	}
	n := copy(p, t.in)
	t.in = t.in[n:]
	if len(t.in) == 0 {
		t.room.Broadcast()
	}
	return n, nil
}

// close ends the stream in order if nothing is in the way, as it would a connection.
func (t *tunnelWire) close() {
	t.mu.Lock()
	t.fin = t.fin || !t.torn
	t.mu.Unlock()
	t.heldWire.close()
	t.room.Broadcast()
}

func (t *tunnelWire) tear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.torn = true
}
