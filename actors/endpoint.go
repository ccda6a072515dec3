package actors

import (
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// Endpoint turns requests into channels with one behavior and one set of
// options. It is an http.Handler for any router: a WebSocket upgrade becomes a
// WebSocket channel, a request that accepts text/event-stream a channel of
// server-sent events, any other a plain HTTP stream.
type Endpoint struct {
	rt       *Runtime
	opts     Options
	links    transport.Config
	box      mailbox.Config
	props    *actor.Props // of the behavior
	messages meter        // of MessageRate
	bytes    meter        // of ByteRate
	guardian *supervisor.Strategy
	byValue  bool            // the handler gets a Message by value
	light    *callbacksActor // of a behavior whose channels need no actor context at first, or nil

	mu       sync.Mutex // guards what follows
	spawners []*spawner // not in use
}

// Handler is an endpoint with the runtime's own options. It panics if b is nil
// or made of nil, as http.Handle does.
func (rt *Runtime) Handler(b Behavior) *Endpoint {
	ep, err := rt.Endpoint(Options{}, b)
	if err != nil {
		panic(err)
	}
	return ep
}

// Endpoint makes an endpoint. Zero fields of opts take the runtime's values. A
// value that opts must not have is a *[ConfigError].
func (rt *Runtime) Endpoint(opts Options, b Behavior) (*Endpoint, error) {
	if b == nil {
		return nil, &ConfigError{"Behavior", nil, "Callbacks, FromHandler or FromProps"}
	}
	opts = opts.withDefaults(rt.cfg.Options).derived()
	if err := opts.check(); err != nil {
		return nil, err
	}
	props, err := b.props(rt)
	if err != nil {
		return nil, err
	}
	_, shared := b.(propsBehavior)
	ep := &Endpoint{
		rt:      rt,
		opts:    opts,
		byValue: !shared,
		links: transport.Config{
			Driver:          rt.cfg.Driver,
			Poller:          rt.poller,
			MaxMessageBytes: opts.MaxMessageBytes,
			MaxTextBytes:    opts.MaxTextBytes,
			Deflate:         rt.deflate(opts.Compression),
			MaxFrameBytes:   opts.MaxFrameBytes,
			Lend:            opts.LendMessages && !shared,
			Reserve:         rt.budget.Take,
		},
		box: mailbox.Config{
			Dispatcher: rt.disp,
			Messages:   opts.MailboxMessages,
			Bytes:      opts.MailboxBytes,
			Budget:     rt.budget,
			Deadline:   max(opts.HandlerDeadline, 0),
		},
	}
	// So a wave finds room also beside what the one before has left.
	rt.reg.Limit(opts.MailboxMessages/2, opts.MailboxBytes/2)
	ep.messages, ep.bytes = newMeter(opts.MessageRate), newMeter(opts.ByteRate)
	ep.props, ep.guardian = props, supervisor.NewStrategy(rt.decide)
	if l, ok := b.(interface{ callbacks() Callbacks }); ok {
		ep.light = &callbacksActor{l.callbacks()}
	}
	if rt.cfg.Cluster != nil {
		if err := rt.name(ep); err != nil {
			return nil, err
		}
	}
	return ep, nil
}

// deflate is nil if c is not enabled.
func (rt *Runtime) deflate(c Compression) *transport.Deflate {
	if !c.Enabled {
		return nil
	}
	return &transport.Deflate{
		Level:          c.Level,
		MinBytes:       c.MinBytes,
		ServerTakeover: c.ServerTakeover,
		ClientTakeover: c.ClientTakeover,
		Reserve:        rt.contexts.Take,
	}
}

// decide tells protoactor what the channel made up its mind to, on the same
// goroutine, a moment before.
func (rt *Runtime) decide(child *actor.PID, _, _ any) actor.Directive {
	if c := lookup(rt.system, child.Id); c != nil {
		return actor.Directive(c.directive)
	}
	return actor.StopDirective
}

// Options are the endpoint's, with the values that it has of the runtime or by default.
func (ep *Endpoint) Options() Options { return ep.opts }

// Channels ranges over the endpoint's open channels.
func (ep *Endpoint) Channels() iter.Seq[*Channel] {
	return func(yield func(*Channel) bool) {
		for c := range ep.rt.Channels() {
			if c.ep == ep && !yield(c) {
				return
			}
		}
	}
}

// ServeHTTP authorises the request and makes it a channel, or refuses it with
// an ordinary response. It returns when the channel is opening; where the link
// cannot be taken from net/http (HTTP/2, wrapped writers), when it has ended.
func (ep *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r, err := ep.precheck(w, r)
	if err != nil {
		return
	}
	uid := ""
	if ep.opts.Authorize != nil {
		answer := &answerWatch{ResponseWriter: w}
		id, ok := ep.opts.Authorize(answer, r)
		if !ok {
			if !answer.written {
				ep.answer(answer, r, http.StatusForbidden, "forbidden")
			}
			ep.rt.event(supervisor.Refused{Remote: r.RemoteAddr, Status: answer.status, Reason: "refused by Authorize"})
			return
		}
		uid = id
	}
	_, _ = ep.accept(w, r, uid) // what went wrong has been answered and reported
}

// Accept does the same inside a plain handler that has found out by itself who
// the user is: Options.Authorize is not asked. Refusals, and requests for
// Options.Next, are answered before Accept returns [ErrRefused], a *[LimitError] or
// what else went wrong. What is sent at once is written after the answer, but a channel
// that is closed before its Open began has neither Open nor Close. Where the link cannot be taken from net/http,
// Accept returns when the channel has ended.
func (ep *Endpoint) Accept(w http.ResponseWriter, r *http.Request, uid string) (*Channel, error) {
	r, err := ep.precheck(w, r)
	if err != nil {
		return nil, err
	}
	return ep.accept(w, r, uid)
}

// spare is the part of the byte budget that is left to the channels there are:
// spent to the last byte it never is.
const spare = 16

// precheck does the checks that need nothing of the application. The request it
// returns is of the client itself, where a proxy has told who that is.
func (ep *Endpoint) precheck(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	if ep.opts.Next != nil && transport.CheckUpgrade(r) != nil {
		ep.opts.Next.ServeHTTP(w, r)
		return nil, ErrRefused
	}
	r, err := ep.Check(w, r)
	if err == nil {
		err = ep.Room(w, r)
	}
	return r, err
}

func (ep *Endpoint) accept(w http.ResponseWriter, r *http.Request, uid string) (*Channel, error) {
	c, err := ep.newChannel(r, uid, framingFor(r))
	if err != nil {
		ep.refuseSpawn(w, r, err)
		return nil, err
	}
	arrived := false
	defer func() {
		if !arrived { // refused, or a ResponseWriter of the application's panicked
			c.discard()
		}
	}()
	link, err := ep.link(w, r, c)
	if err != nil {
		ep.refuseError(w, r, err)
		return nil, err
	}
	arrived = true
	c.arrive(link)
	link.Hold()
	return c, nil
}

// link answers the request with a link of the kind it asks for.
func (ep *Endpoint) link(w http.ResponseWriter, r *http.Request, c *Channel) (transport.Link, error) {
	head := ep.head(w, r, c)
	if !c.IsWebSocket() {
		return ep.links.Stream(w, r, c.origin.framing, head.Status, head.Header)
	}
	c.speaks(w, &head)
	return ep.links.WebSocket(w, r, head.Header, head.Subprotocol)
}

// head is what the response is to begin with.
func (ep *Endpoint) head(w http.ResponseWriter, r *http.Request, c *Channel) (head Head) {
	if w.Header().Get("Sec-WebSocket-Protocol") == "" { // else it was chosen by the application
		head.Subprotocol = ep.subprotocol(r)
	}
	if ep.opts.Prepare != nil {
		given := head
		given.Header = http.Header{}
		ep.opts.Prepare(c, &given)
		head = given
	}
	return head
}

// speaks notes the subprotocol.
func (c *Channel) speaks(w http.ResponseWriter, head *Head) {
	spoken := pick(head.Subprotocol, head.Header.Get("Sec-WebSocket-Protocol"), w.Header().Get("Sec-WebSocket-Protocol"))
	if spoken != "" {
		c.mu.Lock()
		c.asideLocked().spoken = spoken
		c.mu.Unlock()
	}
}

// framingFor is the kind of channel a request asks for.
func framingFor(r *http.Request) transport.Framing {
	switch {
	case transport.IsUpgrade(r):
		return transport.FramingWebSocket
	case acceptsEvents(r):
		return transport.FramingSSE
	}
	return transport.FramingStream
}

func acceptsEvents(r *http.Request) bool {
	for _, line := range r.Header.Values("Accept") {
		for _, each := range strings.Split(line, ",") {
			kind, _, _ := strings.Cut(each, ";")
			if strings.EqualFold(strings.TrimSpace(kind), "text/event-stream") {
				return true
			}
		}
	}
	return false
}

// subprotocol is the first of the server's that the client offers, or "".
func (ep *Endpoint) subprotocol(r *http.Request) string {
	if len(ep.opts.Subprotocols) == 0 {
		return ""
	}
	var offered []string
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for _, each := range strings.Split(line, ",") {
			offered = append(offered, strings.TrimSpace(each))
		}
	}
	for _, p := range ep.opts.Subprotocols {
		if slices.Contains(offered, p) {
			return p
		}
	}
	return ""
}

// Open makes a channel of a link that did not come by HTTP: one in memory, for
// tests and simulations, or of a transport of your own. r is what Request
// returns; it may be nil. If the runtime takes no channels, or would go over a
// limit (a *[LimitError]), the link is released. A link that has a method
// Missed(n int) is told how many messages were taken for it and lost to a policy or
// their Within, but for those that a newer one replaced, so that it can tell its peer: in their
// place among those that it is given. One that has Room() bool is given no message,
// and not closed in order, while that is false; its Pending must not be 0 then. One that has Word() bool is asked
// for more (Next) while that is true, also while the peer is left unread; what it says of its own is
// marked as its [transport.Incoming].Word, and does not count as the peer's.
func (ep *Endpoint) Open(link transport.Link, r *http.Request, uid string) (*Channel, error) {
	c, err := ep.newChannel(r, uid, link.Framing())
	if err != nil {
		link.Release()
		return nil, err
	}
	c.arrive(link)
	return c, nil
}

// Check is the first that ServeHTTP does with a request, for whoever brings a
// transport of their own, with Room, Open and Link: it looks at the origin, and the
// form of an upgrade. It returns the request with the client's own address; or, when
// it has answered that, an error.
func (ep *Endpoint) Check(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	r = ep.rt.client(r)
	if !transport.OriginAllowed(r, ep.opts.Origins) {
		ep.refuse(w, r, http.StatusForbidden, "origin not allowed")
		return nil, ErrRefused
	}
	if transport.IsUpgrade(r) {
		if err := transport.CheckUpgrade(r); err != nil {
			if r.ProtoMajor == 1 { // of HTTP/2 it would end all other requests' connection
				w.Header().Set("Connection", "close")
			}
			ep.refuseError(w, r, err)
			return nil, ErrRefused
		}
	}
	return r, nil
}

// Room looks whether the runtime takes a new channel now, as far as that is known
// before the user is: its state, its memory, its limits. r is what Check has
// returned. If there is an error the request has been answered.
func (ep *Endpoint) Room(w http.ResponseWriter, r *http.Request) error {
	if ep.rt.State() != Running {
		ep.rt.sendElsewhere(w, r)
		ep.refuse(w, r, http.StatusServiceUnavailable, "the server is going away")
		return ErrRefused
	}
	if limit := ep.rt.cfg.BudgetBytes; ep.rt.budget.Used() >= limit-limit/spare {
		ep.rt.startSweep() // nobody else may be sending
		w.Header().Set("Retry-After", "1")
		ep.refuse(w, r, http.StatusServiceUnavailable, "the server is overloaded")
		return ErrRefused
	}
	if err := ep.rt.admit(r); err != nil {
		ep.refuseLimit(w, r, err)
		return err
	}
	return nil
}

// Link answers a request that Check has passed with a link that belongs to no
// channel yet: of a WebSocket if f is that, else of a stream of status head.Status.
// Whoever gets it starts and releases it, and the HTTP handler calls its Hold. If there is
// an error the request has been answered.
func (ep *Endpoint) Link(w http.ResponseWriter, r *http.Request, f transport.Framing, head Head) (link transport.Link, err error) {
	if f == transport.FramingWebSocket {
		link, err = ep.links.WebSocket(w, r, head.Header, head.Subprotocol)
	} else {
		link, err = ep.links.Stream(w, r, f, head.Status, head.Header)
	}
	if err != nil {
		ep.refuseError(w, r, err)
		return nil, err
	}
	return link, nil
}

// newChannel spawns the actor of a channel that has no link yet.
func (ep *Endpoint) newChannel(r *http.Request, uid string, framing transport.Framing) (*Channel, error) {
	if r != nil && r.URL == nil {
		r = nil
	}
	c := &Channel{ep: ep, origin: originOf(ep.rt.nextName(), r, uid, framing)}
	if r != nil {
		c.setRequest(r)
	}
	if err := ep.rt.enter(c); err != nil {
		return nil, err
	}
	c.box.Init(&ep.box, (*owner)(c))
	if ep.light == nil || !c.enlist(c.origin.name()) {
		if err := ep.spawn(c, false, c.origin.name()); err != nil {
			ep.rt.leave(c)
			return nil, err
		}
	}
	ep.rt.remember(c)
	return c, nil
}
