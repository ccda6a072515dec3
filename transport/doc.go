// Package transport turns bytes into messages and messages into bytes. It knows
// no actor: a Link is one connection as its owner sees it, and a Sink is how the
// connection says that there is something to do.
//
//	owner ── Next ───► framing (websocket, stream, sse) ── read ───► wire ──► socket
//	owner ── Queue ──► framing                          ── writev ─► wire ──► socket
//	owner ◄─ Sink.Readable, Sink.Writable ──────────────────────────  wire
//
// A framing knows a protocol and no system call. A wire moves bytes, never waits
// and knows no protocol. There are five wires: a descriptor watched by a Poller,
// a net.Conn with a reading goroutine, a response that net/http keeps (HTTP/2) or
// that middleware has wrapped, the same with input (a WebSocket over HTTP/2), and
// memory. Every framing runs on every wire that can carry it, so one table
// of tests covers them all.
//
// # Rules
//
//   - One goroutine at a time calls a Link. The transport never calls back into
//     the owner except through its Sink, which only sets flags.
//   - Nothing here waits for the network, except Poller.Wait and Link.Hold, whose
//     purpose it is.
//   - All state of a half-parsed message lives in the Link between two calls of
//     Next and never on a stack: a handler that runs between them may be given up
//     while another goroutine goes on with the link.
//   - A response has one head, which Begin fixes. A connection goes on to its next
//     request only when the response is complete and its link released: nothing
//     of one link can reach the response of another.
//   - An idle link holds no buffer. Buffers are borrowed while bytes wait.
//   - No memory is taken for a length that a peer only declared, nor for what a
//     compressed message holds before that was counted.
//   - What Next hands out belongs to the receiver; what Queue is given is shared
//     and read-only.
package transport
