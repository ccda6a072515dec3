package transport

import (
	"errors"
	"fmt"
	"net"
)

// Kind says what an Incoming is.
type Kind uint8

const (
	KindMessage Kind = iota + 1 // a whole message: Op, Data
	KindPing                    // Data; to be answered with NewPong of the same Data
	KindPong                    // Data
	KindClose                   // the peer's close frame: Code, Reason; nothing but KindEnd follows
	KindEnd                     // input has ended: Err
)

func (k Kind) String() string {
	switch k {
	case KindMessage:
		return "message"
	case KindPing:
		return "ping"
	case KindPong:
		return "pong"
	case KindClose:
		return "close"
	case KindEnd:
		return "end"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Incoming is one event read from a link. It is a plain value; Data is a private
// copy that belongs to the receiver, unless it is Lent.
type Incoming struct {
	Kind   Kind
	Op     Opcode // KindMessage
	Code   uint16 // KindClose: the peer's code, 1005 when it gave none
	Empty  uint16 // how many fragments without a byte came before: no limit of bytes bounds them
	Lent   bool   // KindMessage: Data is the link's own, until it is called for more; see Config.Lend
	Word   bool   // KindPong: not the peer's, but what a link of one's own has to say
	Data   []byte // KindMessage, KindPing, KindPong
	Reason string // KindClose: valid UTF-8, at most 123 bytes

	// Err is set with KindEnd: io.EOF when the peer closed its direction, a
	// *Fault when it broke a rule, else what the system said.
	Err error
}

// Sink hears from a link that it is worth calling. Its methods are called from
// any goroutine, any number of times and also without cause; they must only set
// flags and never wait or call the link.
type Sink interface {
	Readable() // Next may have something
	Writable() // Flush may get further, or bytes that were pending have been taken
}

// Link is one connection, seen from its single owner. Except where a method says
// otherwise, none waits, and all must be called by one goroutine at a time. After
// Release every method is still safe to call and does nothing.
type Link interface {
	// Start names the sink and begins to signal. Call it once. Bytes that
	// already wait, also those that came together with the request, are
	// signalled at once. Input that arrived before is not seen by Next earlier.
	Start(Sink)

	// Next returns the next event. False means that nothing whole has arrived:
	// Readable is signalled when it is worth asking again. The work of one call
	// is bounded; a link that stops for that reason signals Readable by itself. Of
	// what it returns with false only Empty has a meaning.
	//
	// After KindEnd it returns false for ever, with one exception: when the end
	// was a *Fault and Discard is called, the connection is drained and a second
	// KindEnd tells how that ended (io.EOF or an I/O error, never a Fault).
	Next() (Incoming, bool)

	// Begin fixes the head of a response and queues it. h, which may be nil,
	// overrides what the link was opened with. length is the number of bytes the
	// body will have if that is known, for a response with a Content-Length, else
	// -1. body is false for a response that has none (to HEAD; with status 204 or
	// 304): packets are then accepted and dropped.
	//
	// Only the first call counts; Queue begins by itself with length -1 and Close
	// with length 0. Later calls return ErrBegun if h is not nil, and otherwise
	// what the first did. A Head that HTTP does not allow is a *HeadError and
	// leaves the link as it was. A WebSocket has begun when it is opened: nil is
	// fine, a Head is ErrUnsupported.
	Begin(h *Head, length int64) (body bool, err error)

	// Progress reports whether a part of a message has come that is not whole yet,
	// since it was last asked.
	Progress() bool

	// Rest is for an owner that leaves the peer unread for a while. What has been read
	// already and not been asked for is kept in no more memory than that takes, for
	// which Config.Reserve is asked. If that refuses, the link keeps what it has.
	Rest()

	// Disown leaves the Data of the last Incoming, if it was Lent, to whoever still
	// reads it, when the owner has lost track of that: the link uses that memory no
	// more.
	Disown()

	// Held is how many bytes of what the peer has sent wait in the link, as
	// Config.Reserve was asked for them: of a message that is not whole yet, of what
	// Rest keeps, or of the requests behind that of a stream.
	Held() int

	// Queue adds a packet to what leaves with the next Flush and writes nothing.
	// Where compression was agreed on, this is where it is done, if nobody has
	// done it for this packet yet; of a large one it may wait for a processor, as
	// Next may to inflate one.
	// It fails with ErrUnsupported when this framing cannot carry the packet,
	// with ErrLength when the body would be longer than Begin was told, with
	// ErrClosing after Close, and with ErrReleased.
	Queue(*Packet) error

	// Flush hands all that is queued to the system in one vectored write, as far
	// as it is taken without waiting. Nil with Pending() > 0 means that Writable
	// will be signalled. An error is final and is returned from then on.
	Flush() error

	// Pending is the number of bytes queued and not yet taken by the system.
	Pending() int

	// Taken counts the bytes the system has taken since the link exists. It
	// never falls.
	Taken() uint64

	// Queued counts the bytes ever queued, in their encoded form. A packet is
	// written when Taken has reached what Queued was right after its Queue; from
	// then on, and after Release, the link does not touch the packet's bytes.
	Queued() uint64

	// Close queues the end of the link's output: a close frame (WebSocket) or
	// the end of the response (stream), which is an ordinary empty one if it has
	// not begun. A response that is shorter than Begin was told ends as one that
	// broke off. Only the first call counts. Code 0, 1005 and all codes that must
	// not be sent give an empty close frame; the reason is cut to 123 bytes. The
	// socket stays open.
	Close(code uint16, reason string)

	// CloseWrite closes our direction of the connection as soon as everything
	// queued was taken: at once, or within a later Flush. Where another request
	// may follow on the connection, only this response's part of it ends: the
	// connection stays as it is, and once everything was taken Next reports
	// KindEnd with io.EOF, after CloseWrite as after Discard.
	CloseWrite()

	// Discard throws away input from now on. Next goes on to drain it, but
	// reports only KindClose, if the peer's close frame can still be made out,
	// and KindEnd. Readable is signalled, so that the owner calls Next again.
	Discard()

	// Release gives everything back at once, the descriptor first; what is
	// pending is lost. A connection whose response is complete and on which
	// another request may follow goes back to its http.Server. It is idempotent. No Sink call begins after it returned,
	// except one that was already under way on another goroutine. A channel is done
	// behind it: it must not wait for that.
	Release()

	Framing() Framing
	Driver() Driver

	// RemoteAddr and LocalAddr are made when asked for. LocalAddr is nil after
	// Release; so is RemoteAddr on some links, and once the connection is lost.
	RemoteAddr() net.Addr
	LocalAddr() net.Addr

	// Hold must be called by the HTTP handler that opened the link, on its own
	// goroutine, once an owner has the link; it is the one method that may run
	// beside the owner's calls. A link that lives on net/http's
	// goroutine (HTTP/2, wrapped response writers) does its writing in there and
	// Hold returns when it was released or has finished its half; every other
	// link returns at once. On HTTP/1 it first throws away up to 256 KiB of the
	// request's body. What net/http writes by itself, the head and the end, gets the
	// server's WriteTimeout, or 10 s; all else has no deadline. It panics with
	// http.ErrAbortHandler, as net/http has it, when a response broke off and its
	// writer knows no deadline to do so.
	Hold()
}

// Framing says how messages are laid into bytes.
type Framing uint8

const (
	FramingWebSocket Framing = iota + 1 // RFC 6455
	FramingStream                       // an HTTP response body without inner structure
	FramingSSE                          // an HTTP response body of server-sent events
)

func (f Framing) String() string {
	switch f {
	case FramingWebSocket:
		return "websocket"
	case FramingStream:
		return "stream"
	case FramingSSE:
		return "sse"
	}
	return fmt.Sprintf("Framing(%d)", uint8(f))
}

// Driver says what moves a link's bytes.
type Driver uint8

const (
	DriverAuto      Driver = iota // the poller where there is one and the connection has a descriptor, else goroutines
	DriverPoller                  // readiness from a Poller; no goroutine
	DriverGoroutine               // a reading goroutine, a writing one only while there is something to write
	DriverMemory                  // a pipe in memory; see Config.MemoryPair
)

var driverNames = [...]string{"auto", "poller", "goroutine", "memory"}

func (d Driver) String() string {
	if int(d) < len(driverNames) {
		return driverNames[d]
	}
	return fmt.Sprintf("Driver(%d)", uint8(d))
}

// ParseDriver is the inverse of Driver.String. The empty string is auto.
func ParseDriver(s string) (Driver, error) {
	if s == "" {
		return DriverAuto, nil
	}
	for i, name := range driverNames {
		if s == name {
			return Driver(i), nil
		}
	}
	return DriverAuto, fmt.Errorf("transport: driver %q: want auto, poller, goroutine or memory", s)
}

// DefaultMaxMessageBytes is the limit of an inbound message when
// Config.MaxMessageBytes is zero.
const DefaultMaxMessageBytes = 4 << 20

// Config is shared by all links of an endpoint and must not change once a link
// was opened with it. The zero value is usable: goroutines, the default limit.
type Config struct {
	// Driver chooses what moves the bytes. Default DriverAuto.
	Driver Driver

	// Poller serves the poller driver. Default nil: there is none, auto means
	// goroutines and DriverPoller is an error. Somebody must call its Wait
	// and Dispatch, again and again.
	Poller *Poller

	// MaxMessageBytes limits an inbound message over all its fragments: exactly
	// this much is accepted, one byte more is a Fault with code 1009. Of a
	// compressed message what it holds counts; compressed it may be a seventh
	// longer. Default (and for values below 1) DefaultMaxMessageBytes.
	MaxMessageBytes int

	// MaxTextBytes limits text messages apart from others, in the same way.
	// Default (and for values below 1) MaxMessageBytes.
	MaxTextBytes int

	// MaxFrameBytes limits the payload of one data frame as it is on the wire, in
	// the same way. Default (and for values below 1): only the message counts.
	MaxFrameBytes int

	// Deflate switches compression on for WebSockets whose client offers it.
	// Default nil: off.
	Deflate *Deflate

	// Lend lets Next hand out messages where they lie in the read buffer, without a
	// copy, when they have come whole and uncompressed: such an Incoming is Lent, and
	// its Data is valid until the next call of Next, Rest, Discard or Release.
	// Default false: all are the receiver's.
	Lend bool

	// Reserve is asked before the memory of a message that arrives in pieces, or
	// holds more than a read buffer (64 KiB) when it is decompressed, grows by n
	// bytes, and told with n < 0 when that memory is handed over or
	// freed. False ends the link with a Fault of code 1013 (ErrBudget). The
	// requests that a client sends behind that of a stream are charged as well;
	// there, false only means that they are thrown away. It is called by who
	// opens the link and then by its owner, and must not wait. Default nil: no
	// budget.
	Reserve func(n int) bool
}

func (c *Config) maxMessage(op Opcode) int {
	switch {
	case op == Text && c.MaxTextBytes > 0:
		return c.MaxTextBytes
	case c.MaxMessageBytes > 0:
		return c.MaxMessageBytes
	}
	return DefaultMaxMessageBytes
}

// The kinds of a Fault, for errors.Is.
var (
	ErrProtocol    = errors.New("protocol error")
	ErrTooBig      = errors.New("message too big")
	ErrInvalidUTF8 = errors.New("invalid UTF-8")
	ErrBudget      = errors.New("memory budget exhausted")
	ErrCorrupt     = errors.New("corrupt compressed data")
)

var (
	ErrUnsupported  = errors.New("transport: framing cannot carry this packet")
	ErrClosing      = errors.New("transport: link is closing")
	ErrReleased     = errors.New("transport: link is released")
	ErrNoPoller     = errors.New("transport: no poller on this system")
	ErrPollerClosed = errors.New("transport: poller is closed")
)

// Fault says that the peer broke a rule of the protocol or a limit of ours. It
// is an error; errors.Is matches its kind.
type Fault struct {
	Kind   error  // ErrProtocol, ErrTooBig, ErrInvalidUTF8, ErrBudget or ErrCorrupt
	Code   uint16 // the close code to answer with
	Reason string // short, constant and fit for the peer to see
}

func (f *Fault) Error() string {
	return fmt.Sprintf("transport: %v: %s (%d)", f.Kind, f.Reason, f.Code)
}
func (f *Fault) Unwrap() error { return f.Kind }
