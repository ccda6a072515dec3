package transport

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// WebSocket turns a request into a WebSocket link. Everything that can be wrong
// with the request or the configuration is found before the connection is taken
// from net/http; the error is then a *HandshakeError (or one that says what is
// misconfigured) and the request can be answered as usual. After that only the
// system's own errors are left, and the connection is closed with them.
//
// The response head is queued, not written: it leaves with the first Flush. It
// carries header and what is set on w.Header(), except what belongs to the
// handshake. A non-empty subprotocol must be one the client offered; if it is
// empty, header or w.Header() may name it as Sec-WebSocket-Protocol. Extensions
// are for Config.Deflate to agree on: it takes the first offer whose parameters
// are all right, and declines others. Bytes that came with the request are kept for Next. The handler may return afterwards.
//
// If middleware has wrapped w, the head is written at once and by net/http: by
// w.WriteHeader(101), so that what the middleware does there is done.
//
// Over HTTP/2 (RFC 8441) the response is a 200 and its stream the connection. It
// stays with the handler, which has to call Hold: that writes, the head first.
// net/http lets such requests in only if GODEBUG in the process's environment has
// http2xconnect=1.
func (c *Config) WebSocket(w http.ResponseWriter, r *http.Request, header http.Header, subprotocol string) (Link, error) {
	subprotocol, err := c.checkWebSocket(w, r, header, subprotocol)
	if err != nil {
		return nil, err
	}
	deflate, extensions := c.Deflate.agree(r.Header["Sec-Websocket-Extensions"])
	defer func() { deflate.free() }() // also if a wrapper of w panics
	var l *wsLink
	if isExtendedConnect(r) {
		h := mergeHeader(w.Header(), header)
		agreed(h, subprotocol, extensions)
		l = &wsLink{}
		l.cfg, l.wire = c, newTunnelWire(w, r, h)
	} else if l, err = c.upgrade(w, r, header, subprotocol, extensions); err != nil {
		return nil, err
	}
	l.deflate, deflate = deflate, nil
	return l, nil
}

// checkWebSocket finds all that can be known before the connection is taken, and
// the subprotocol to be spoken.
func (c *Config) checkWebSocket(w http.ResponseWriter, r *http.Request, header http.Header, subprotocol string) (string, error) {
	if err := CheckUpgrade(r); err != nil {
		return "", err
	}
	if err := c.checkDriver(r); err != nil {
		return "", err
	}
	if subprotocol == "" {
		subprotocol = namedSubprotocol(w.Header(), header)
	}
	if subprotocol != "" && (!IsToken(subprotocol) || !offered(r.Header["Sec-Websocket-Protocol"], subprotocol)) {
		return "", fmt.Errorf("transport: subprotocol %q: not one the client offers", subprotocol)
	}
	if err := c.Deflate.check(); err != nil {
		return "", err
	}
	tunnel := isExtendedConnect(r)
	switch {
	case tunnel && (c.Driver == DriverPoller || !canFlush(w)):
		return "", errNoStreaming
	case !tunnel && !canHijack(w):
		return "", errNoHijack
	}
	return subprotocol, nil
}

// upgrade answers and takes the connection. That needs nearly all of the 4 KiB of
// stack that net/http's goroutine has by then, and more would be copied: what can be
// done by functions that have returned before and that begin after it is theirs.
func (c *Config) upgrade(w http.ResponseWriter, r *http.Request, header http.Header, subprotocol, extensions string) (*wsLink, error) {
	head := answerUpgrade(w, r, header, subprotocol, extensions)
	nc, early, err := hijack(w)
	if err != nil {
		return nil, err
	}
	l, err := c.webSocketOf(nc)
	if err != nil {
		return nil, err
	}
	l.unread(early)
	if head != nil {
		l.pushRaw(head)
	}
	return l, nil
}

// answerUpgrade is the head that accepts, nil if a wrapper of w has written it.
func answerUpgrade(w http.ResponseWriter, r *http.Request, header http.Header, subprotocol, extensions string) []byte {
	key := r.Header["Sec-Websocket-Key"][0]
	var h http.Header
	if len(w.Header())+len(header) > 0 {
		h = mergeHeader(w.Header(), header)
	}
	if !ownWriter(w) {
		writeHandshake(w, AcceptKey(key), subprotocol, extensions, h)
		return nil
	}
	return appendHandshake(make([]byte, 0, 160), key, subprotocol, extensions, h)
}

// webSocketOf is a link on a connection, which is closed if there can be none.
func (c *Config) webSocketOf(nc net.Conn) (*wsLink, error) {
	var l *wsLink
	var err error
	if c.usePoller(nc) {
		l, err = newPolledWebSocket(c.Poller, nc)
	}
	if l == nil {
		if c.Driver == DriverPoller {
			nc.Close()
			return nil, noDescriptor(nc, err)
		}
		l = &wsLink{}
		l.wire = newConnWire(nc)
	}
	l.cfg = c
	return l, nil
}

// Stream turns a request into a link whose messages are the response's body, as
// they are (FramingStream) or as server-sent events (FramingSSE). Status 0 is
// 200. Begin may still change status and header, which are w.Header() and over it
// header. Of the fields that say where the body ends and what becomes of the
// connection only "Connection: close" counts. Content-Type is text/html in UTF-8
// unless given; events have their own, and ask caches and proxies not to hold
// them back.
//
// An HTTP/1.1 connection is taken from net/http and the handler may return. A
// body of unknown length goes in chunks, one for each packet; an HTTP/1.0 one ends
// with the connection. HTTP/2 and response writers that middleware has wrapped
// stay with the handler, which has to call Hold.
//
// When the response is complete and neither side wants to close, Release gives
// the connection back to the http.Server it came from: it waits on a goroutine,
// for IdleTimeout (if that is 0 for ReadTimeout) or until the server is shut down,
// and is a new connection of the server's, in StateNew, when the next request
// begins. What the client sends on after its request, up to 16 KiB, is kept for
// that. Otherwise it is thrown away, and is a Fault beyond 1 MiB.
//
// A request is the connection's last if its body has not been read to its end, as
// the wire had it (what middleware made of r does not count), or if
// SetKeepAlivesEnabled forbids another. With a ConnState every request is: the hook was
// told that the connection is hijacked, which net/http calls the last state of all. A
// ConnContext runs for a connection that comes back as for a new one; a panic of its
// costs that connection. As it may rely on the connection's type, with one a request on
// which the client has sent another, without waiting for the response, is the last,
// and on systems other than Linux and on connections that are no sockets every one is.
//
// On a link of HTTP/1 that stays with the handler nobody watches the connection
// while a part of the request's body is unread (Hold throws up to 256 KiB away) or
// once the client has sent a byte behind the request. Such a link hears that its
// client has gone only from a write that fails: whoever opens one should write now
// and then, or bound its life.
//
// A CONNECT is refused with 405, as its answer would not be a response with a body,
// and with 501 if it asks for a protocol (RFC 9220 §3).
func (c *Config) Stream(w http.ResponseWriter, r *http.Request, framing Framing, status int, header http.Header) (Link, error) {
	if framing != FramingStream && framing != FramingSSE {
		return nil, fmt.Errorf("transport: %v is not a framing of a response body", framing)
	}
	if status == 0 {
		status = http.StatusOK
	}
	if !validStatus(status) {
		return nil, fmt.Errorf("transport: status %d: want %s", status, allowedStatus)
	}
	if err := c.checkDriver(r); err != nil {
		return nil, err
	}
	method, bodyRead := r.Method, false
	if ownWriter(w) {
		method, bodyRead = asSent(w)
	}
	if method == http.MethodConnect || r.Method == http.MethodConnect { // RFC 9110 §9.3.6
		if r.Header[":protocol"] != nil {
			return nil, refuse(http.StatusNotImplemented, "no such protocol")
		}
		e := refuse(http.StatusMethodNotAllowed, "a stream is no tunnel")
		e.Header = http.Header{"Allow": {"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}}
		return nil, e
	}
	res := response{
		framing: framing,
		status:  status,
		header:  mergeHeader(w.Header(), header),
		toHead:  r.Method == http.MethodHead || method == http.MethodHead,
		http10:  !r.ProtoAtLeast(1, 1),
		last:    asksClose(w.Header()) || asksClose(header),
	}
	if ownWriter(w) {
		return c.hijackedStream(w, r, res, bodyRead)
	}
	if r.ProtoMajor != 1 && c.Driver == DriverPoller || !canFlush(w) {
		return nil, errNoStreaming
	}
	l := &streamLink{response: res}
	l.held = newHeldWire(w, r)
	l.cfg, l.wire, l.layout = c, l.held, streamLayout(framing, false)
	return l, nil
}

func (c *Config) hijackedStream(w http.ResponseWriter, r *http.Request, res response, bodyRead bool) (Link, error) {
	res.server = serverOf(r.Context())
	reusable := res.server != nil && !res.last && !res.http10 && !mayClose(r) && bodyRead
	nc, early, err := hijack(w)
	if err != nil {
		return nil, err
	}
	reusable = reusable && !counted(res.server) && (patient(nc) || !hooked(res.server))
	var l *streamLink
	if c.usePoller(nc) {
		l, err = newPolledStream(c.Poller, nc)
	}
	if l == nil {
		if c.Driver == DriverPoller {
			nc.Close()
			return nil, noDescriptor(nc, err)
		}
		w := newConnWire(nc)
		// net/http has looked for a byte behind the request: without one there is
		// nothing either that TLS has read from the socket and not handed out.
		w.shy = reusable && len(early) == 0 && patient(nc)
		l = &streamLink{}
		l.wire = w
	}
	l.cfg, l.layout, l.response = c, streamLayout(res.framing, false), res
	if reusable {
		l.flags |= flagReusable
		if len(early) > 0 {
			l.keep(early)
		}
	}
	return l, nil
}

func streamLayout(f Framing, chunked bool) layout {
	switch {
	case f == FramingSSE && chunked:
		return layoutSSEChunked
	case f == FramingSSE:
		return layoutSSE
	case chunked:
		return layoutStreamChunked
	}
	return layoutStream
}

// checkDriver finds what can be known to fail before the connection is taken.
func (c *Config) checkDriver(r *http.Request) error {
	switch c.Driver {
	case DriverAuto, DriverGoroutine:
		return nil
	case DriverPoller:
		if c.Poller == nil {
			return errors.New("transport: Config.Driver is poller: Config.Poller must be set")
		}
		if r.TLS != nil {
			return errors.New("transport: Config.Driver is poller: a TLS connection needs auto or goroutine")
		}
		return nil
	}
	return fmt.Errorf("transport: Config.Driver %v: want auto, poller or goroutine", c.Driver)
}

func (c *Config) usePoller(nc net.Conn) bool {
	return c.Poller != nil && c.Driver != DriverGoroutine && polled(nc)
}

func noDescriptor(nc net.Conn, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("transport: Config.Driver is poller: a %T has no descriptor to watch", nc)
}

var (
	errNoHijack    = refuse(http.StatusInternalServerError, "the connection cannot be taken over")
	errNoStreaming = refuse(http.StatusInternalServerError, "the response cannot be streamed")
)

// hijack takes the connection, and what was read from it behind the request.
func hijack(w http.ResponseWriter) (net.Conn, []byte, error) {
	h, ok := w.(http.Hijacker)
	if !ok {
		h = unwrapper{w}
	}
	nc, rw, err := h.Hijack()
	if err != nil {
		return nil, nil, hijackError(err)
	}
	return hijacked(nc, rw.Reader)
}

// unwrapper finds who can hijack below what middleware has put around it.
type unwrapper struct{ w http.ResponseWriter }

func (u unwrapper) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(u.w).Hijack()
}

func hijackError(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return errNoHijack
	}
	return fmt.Errorf("transport: hijack: %w", err)
}

func hijacked(nc net.Conn, r *bufio.Reader) (net.Conn, []byte, error) {
	early, err := buffered(r)
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		nc.Close()
		return nil, nil, hijackError(err)
	}
	nc, more := unreplay(nc)
	return nc, append(early, more...), nil
}

// buffered is what the server read behind the request.
func buffered(r *bufio.Reader) ([]byte, error) {
	n := r.Buffered()
	const most = readBytes - maxEarly - largeRead // that much may come from unreplay
	if n > most {
		return nil, fmt.Errorf("%d bytes came with the request: at most %d", n, most)
	}
	b, err := r.Peek(n)
	return b[:n:n], err
}
