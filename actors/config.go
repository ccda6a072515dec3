package actors

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// The drivers of a channel's link; see [Config].
const (
	DriverAuto      = transport.DriverAuto
	DriverPoller    = transport.DriverPoller
	DriverGoroutine = transport.DriverGoroutine
)

// Config is a runtime's. The zero Config is safe; every field says its default.
type Config struct {
	// Options are those of every endpoint that does not set its own.
	Options

	// System is the actor system to live in. Default: one of the runtime's own,
	// which logs to Logger and ends with the runtime.
	System *actor.ActorSystem

	// Cluster, if set, makes the runtime one of several that are one: messages by
	// PID, broadcasts and more go to the channels of all of them. It is for this
	// runtime alone. Default: there is no other.
	Cluster Cluster

	// Driver moves the bytes of links: the poller (Linux, plain TCP: no
	// goroutine and no buffer for an idle channel), a goroutine for each link,
	// or, by default, the poller wherever it can serve. The poller needs a second
	// descriptor for a moment when a channel begins: where there is none, the
	// default gives that channel a goroutine, and DriverPoller loses it.
	Driver transport.Driver

	// Workers is how many goroutines run handlers while none of them blocks;
	// more run when some do. Default: GOMAXPROCS.
	Workers int

	// BudgetBytes bounds the bytes that wait in all channels together, in
	// mailboxes and links, in both directions. Default 1 GiB.
	BudgetBytes int64

	// CompressionBytes bounds what all channels together keep of earlier messages
	// to compress later ones: see [Compression]. A channel for which there is none
	// left is compressed without. Default 64 MiB.
	CompressionBytes int64

	// MaxChannels bounds the channels there are, opening and closing ones
	// included. Above it a request is refused with 503. Default 1,000,000.
	MaxChannels int

	// MaxPerUID and MaxPerIP bound those of one user and of one address, which of
	// IPv6 is a /64 network. Above them a request is refused with 429: the
	// channels there are stay. Nobody is the user "", and the peers of a Unix
	// socket have no address, unless TrustedProxies tell one. Each node of a cluster
	// counts its own. Default: none.
	MaxPerUID int
	MaxPerIP  int

	// HandshakeRate bounds the requests that may become channels, before
	// Authorize is asked. Above it they are refused with 503. Default: none.
	HandshakeRate Rate

	// TrustedProxies are the addresses of proxies that tell who their client is
	// by X-Forwarded-For or Forwarded (see [transport.ClientAddr]): then that is
	// the request's RemoteAddr, for Authorize, the limits, events and the channel,
	// with port 0 if none was told. A proxy must append to one of the two fields.
	// The peers of a Unix socket count as 127.0.0.1. Default: none is believed.
	TrustedProxies []netip.Prefix

	// PresenceGrace is how long a user who has no channel any more still counts
	// as present. Default 5 s; negative: none.
	PresenceGrace time.Duration

	// DrainBatch channels are closed every DrainPause when the runtime drains
	// or stops, faster where its time is short: see [Runtime.Drain]. Default 500
	// every 100 ms.
	DrainBatch int
	DrainPause time.Duration

	// DrainWindow is over how long the clients are spread that a drain tells to
	// come back: see [Channel.Slot]. Default 10 s.
	DrainWindow time.Duration

	// Logger hears what happens to channels, in as many lines as [supervisor.Bounded]
	// tells: clients cause most of them. Default: slog.Default().
	Logger *slog.Logger

	// OnEvent, if set, hears all of it as typed values, on the goroutine where it
	// happened: it must not block. A panic in it is logged and goes no further.
	OnEvent func(supervisor.Event)
}

// Options are an endpoint's. A zero field takes the runtime's value, and its
// default where the runtime has none: what the runtime has switched on, an
// endpoint cannot switch off with false or nil. Durations: negative switches
// off.
type Options struct {
	// Name is what other nodes know the endpoint by, where there is a
	// [Config].Cluster: [Only] reaches the channels of the endpoints of this name on
	// all of them. So no two of one runtime have the same. At most 128 bytes. Not to
	// be set in Config. Default "", as good a name as any.
	Name string

	// Wire carries the packets of links of one's own to other nodes, which for
	// their Note cannot go by themselves: those that are broadcast Only for this
	// endpoint. The endpoint of the same Name on other nodes needs one too. Not to
	// be set in Config. Default: packets without a Note need none.
	Wire Wire

	// Origins are patterns of hosts, or of scheme://host, that pages of other
	// origins may connect from, such as "*.example.com" ("*" for any).
	// Default: the same host only. Where a browser sends no Origin its
	// Sec-Fetch-Site and Referer count (see [transport.OriginAllowed]); clients
	// that send none of these are no browsers and are allowed.
	Origins []string

	// Authorize decides who the user is, before anything is upgraded. If ok is
	// false the request is refused with the answer the hook wrote to w, or 403
	// if it wrote none. Default: everybody is let in, with the uid "".
	Authorize func(w http.ResponseWriter, r *http.Request) (uid string, ok bool)

	// Subprotocols the server speaks, in its order of preference. The first
	// that the client offers is chosen. Default: none.
	Subprotocols []string

	// Next, if set, gets the requests that are no valid WebSocket upgrade, such
	// as the one for the page that will make it: http.NotFoundHandler,
	// [UpgradeRequired], or a handler of your own. Default: they become streams,
	// and malformed upgrades are refused.
	Next http.Handler

	// Prepare, if set, runs with each new channel before its request is
	// answered, on the goroutine of net/http: it may keep values with the
	// channel and say how the answer begins. Sends wait until Open.
	Prepare func(c *Channel, head *Head)

	// KeepHeader names the fields of the request's header that Channel.Request has
	// once Open has returned, such as "User-Agent"; "*" stands for all. What is
	// kept takes memory for as long as the channel lives. Until then, so in
	// Authorize, Prepare and Open, the whole header is there. Default: none.
	KeepHeader []string

	// Refuse writes the answers with which the endpoint refuses a request:
	// 400, 405 or 426 for a bad handshake, 403 for an origin or by Authorize, 429
	// for MaxPerUID and MaxPerIP, 503 for MaxChannels and HandshakeRate and while
	// the runtime is draining or its byte budget all but spent, 500. The reason is
	// fit for the client to see. Header fields that belong to the answer are set
	// already.
	// Default: the reason as plain text.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, reason string)

	// MaxMessageBytes bounds a message of the peer, over all its fragments.
	// Default 4 MiB. A larger one closes the channel with 1009.
	MaxMessageBytes int

	// MaxTextBytes does the same for text messages, if it is less.
	// Default MaxMessageBytes.
	MaxTextBytes int

	// LendMessages hands the Data of a peer's message to the handler where it lies in
	// the read buffer, without a copy: it is valid until the handler returns, then
	// other bytes stand there, perhaps another peer's. Send, Publish and their like,
	// and [Queue.Put], copy the Message; what is kept otherwise, passed on to an actor
	// by its PID, or sent in a sequence or as m.Data, must be copied first, as
	// [Message.Keep] does. Actors of [FromProps], which may pass on or stash what they
	// receive, are lent nothing. For servers that handle so many messages that an
	// allocation for each counts.
	// Default false: Data belongs to the handler.
	LendMessages bool

	// Compression of WebSocket messages (permessage-deflate, RFC 7692). Default:
	// off.
	Compression Compression

	// MaxFrameBytes bounds one WebSocket frame of a message, as it is on the wire.
	// Default: none but the message's. A larger one closes the channel with 1009.
	MaxFrameBytes int

	// MessageRate and ByteRate bound what a WebSocket's peer may send: its
	// messages, pings, pongs and empty fragments, and the bytes in them. A message
	// counts when it is whole. A peer that sends more is left unread until it may send again, as if
	// the network were slow; until then its pongs and its close are not seen
	// either, and PongTimeout and IdleTimeout wait. Default: none.
	MessageRate Rate
	ByteRate    Rate

	// CloseOverRate closes a channel with 1008 whose peer sends more than that,
	// instead of slowing it down. Default false.
	CloseOverRate bool

	// MaxTopics bounds the topics a channel is in: Join then returns a
	// *[LimitError]. Default 1024.
	MaxTopics int

	// MailboxMessages bounds what waits for the handler and, apart from it, for
	// the peer (what the kernel has not taken included). Default 1024.
	MailboxMessages int

	// MailboxBytes bounds the bytes of the same, each by itself. A message larger
	// than that is refused with ErrTooBig. Default 4 MiB, or twice
	// MaxMessageBytes if that is more.
	MailboxBytes int

	// Overflow is what Send does when the mailbox is full. Default Reject.
	Overflow Policy

	// BroadcastOverflow is what a broadcast does to a channel whose mailbox is
	// full. Default CloseSlow: it is closed with 1013. Until its peer has been
	// behind for a second, 16 times as many messages and 4 times as many bytes may
	// wait, since a burst is not the peer's fault. Block is no choice.
	BroadcastOverflow Policy

	// IdleTimeout closes a WebSocket after so long without a message, or a part of
	// one, in either direction. Pings of ours and their pongs do not count.
	// Default: none.
	IdleTimeout time.Duration

	// MaxOpen closes an HTTP stream after so long, whatever it does.
	// Default: none.
	MaxOpen time.Duration

	// HandshakeTimeout is how long a peer may take to accept our answer to its
	// request. (How long it may take to send the request is the matter of
	// ReadHeaderTimeout, in ServerConfig or http.Server.) Default 10 s.
	HandshakeTimeout time.Duration

	// WriteTimeout is how long a peer may go without accepting a byte while
	// some wait. Default 10 s.
	WriteTimeout time.Duration

	// PingInterval is how long nothing may come from a WebSocket's peer before
	// it is sent a ping, and nothing go to an SSE client before it is sent an
	// empty comment. Default 25 s.
	PingInterval time.Duration

	// PongTimeout is how long after a ping something must have come.
	// Default 10 s.
	PongTimeout time.Duration

	// CloseTimeout bounds the flush and the close handshake of a channel that
	// is closing. Default 5 s.
	CloseTimeout time.Duration

	// HandlerDeadline is how long one call of the handler may take. A call that
	// overruns it is reported with its stack and abandoned: its goroutine is
	// left to itself, and a fresh handler goes on in its place. Default 30 s.
	HandlerDeadline time.Duration

	// CloseStuck closes a channel whose handler overran its deadline with 1011,
	// instead of going on with a fresh one. Default false.
	CloseStuck bool

	// Intensity is how often a handler may fail before its channel is closed
	// with 1011. Default 3 times in 30 s.
	Intensity supervisor.Intensity
}

// Compression is permessage-deflate with clients that offer it, as browsers do. A
// message that was compressed is bounded like any other: MaxMessageBytes is about
// what it holds. An endpoint takes the runtime's Compression as a whole, or has its
// own.
//
// Secrets must not be compressed together with what a stranger may choose (RFC 7692
// §8): the length would tell. [Uncompressed] exempts a message.
type Compression struct {
	// Enabled switches it on.
	Enabled bool

	// Level is how hard to try, from 1 (fastest) to 9. Default 1.
	Level int

	// MinBytes is the size from which a message is compressed; one that would not
	// become smaller is sent as it is, and so is what is sent in parts ([Whole]).
	// Default 512.
	MinBytes int

	// ServerTakeover lets messages to a client refer back to earlier ones, at up to
	// 4 KiB a channel. That makes messages of less than some KiB a third smaller; but a
	// broadcast is then compressed for each channel, and without it, once.
	ServerTakeover bool

	// ClientTakeover lets the client do the same, at up to 4 KiB a channel, or 32
	// KiB for the rare client that cannot limit its window.
	ClientTakeover bool
}

// Head is how the answer to a request begins that becomes a channel. What the
// handler, or middleware around it, has set on the ResponseWriter is part of it
// anyway.
type Head struct {
	Status      int         // of a stream; default 200
	Header      http.Header // more fields, in place of those of the same name (but for Set-Cookie)
	Subprotocol string      // of a WebSocket: one that the client offers, or ""
}

// UpgradeRequired answers every request with 426; see [Options].Next.
var UpgradeRequired http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 { // HTTP/2 knows neither
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
	}
	http.Error(w, "a WebSocket upgrade is required", http.StatusUpgradeRequired)
})

// Policy says what a send does when the channel's mailbox is full.
type Policy = mailbox.Policy

// ConfigError is a value that a Config or Options must not have.
type ConfigError struct {
	Field string
	Value any
	Want  string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("actors: %s is %v, want %s", e.Field, e.Value, e.Want)
}

// LimitError is the error of what would go over a limit of Config or Options.
type LimitError struct {
	Limit string // the field: "MaxChannels", "MaxPerUID", "MaxPerIP", "HandshakeRate" or "MaxTopics"
	Max   int
}

func (e *LimitError) Error() string { return fmt.Sprintf("actors: %s is %d", e.Limit, e.Max) }
