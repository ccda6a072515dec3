package events

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// serveUpgrade makes a WebSocket carry a session.
func (srv *Server) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	switch {
	case transport.IsUpgrade(r):
	case r.Method == http.MethodGet:
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
		}
		srv.refuse(w, r, errUpgrade)
		return
	default:
		w.Header().Set("Allow", "GET, POST")
		srv.refuse(w, r, errMethod)
		return
	}
	h, err := srv.helloOf(r)
	if err != nil {
		srv.refuse(w, r, err)
		return
	}
	srv.connect(w, r, h, WebSocket, nil)
}

// helloOf is the hello of a WebSocket's client, with the codec that it offers.
func (srv *Server) helloOf(r *http.Request) (*protocol.ClientHello, error) {
	var offered []string
	codec, newer := "", false
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			p = strings.TrimSpace(p)
			switch {
			case strings.HasPrefix(p, protocol.HelloPrefix):
				if len(p)-len(protocol.HelloPrefix) > encodedLen(srv.opts.MaxHelloBytes) {
					return nil, errHelloSize
				}
				if len(offered) > 0 {
					return nil, fmt.Errorf("%w: there are two", protocol.ErrHello)
				}
				offered = append(offered, p)
			case codec == "" && srv.codecOf(p) >= 0:
				codec = p
			default:
				newer = newer || strings.HasPrefix(p, "troupe.v")
			}
		}
	}
	if len(offered) == 0 && codec == "" && newer {
		return nil, protocol.ErrVersion // whose hello may be elsewhere
	}
	h, err := protocol.HelloOf(offered)
	switch {
	case err != nil:
		return nil, err
	case codec == "":
		return nil, protocol.ErrVersion
	case h.Down != "":
		return nil, fmt.Errorf("%w: down is for a POST", protocol.ErrHello)
	}
	h.Codec = codec
	return h, nil
}

// encodedLen is the length of n bytes in base64 without padding.
func encodedLen(n int) int { return n + (n+2)/3 }

// codecOf is the codec of a subprotocol, -1 if it is not spoken.
func (srv *Server) codecOf(subprotocol string) int {
	for i, c := range srv.codecs {
		if c.Subprotocol() == subprotocol {
			return i
		}
	}
	return -1
}

// guest is a client that has passed the checks.
type guest struct {
	hello    *protocol.ClientHello
	known    *Session // the session it names, and has the secret of; nil: none
	id       Identity
	ticketed bool   // the identity is a ticket's
	logouts  uint64 // how many there had been when the identity was asked for
	began    int64  // when that was

	homes    []string // the other nodes that may have the session it names; none: it is here, or new
	stranger error    // of one of those: what Authorize says, if no ticket has let it in
}

// admit does the checks that come before anything is made, in their order; the
// first that fails has answered, and there is no guest. A session that there is
// needs no room: what is full, or going away, still serves it.
func (srv *Server) admit(w http.ResponseWriter, r *http.Request, h *protocol.ClientHello) (*http.Request, *guest) {
	if srv.opts.CSRF != nil && !CheckCSRF(r, h.CSRF, srv.opts.CSRF(r)) {
		srv.refuse(w, r, errCSRF)
		return nil, nil
	}
	r, err := srv.ep.Check(w, r)
	if err != nil {
		return nil, nil
	}
	g := &guest{hello: h, known: srv.known(h), logouts: srv.logouts.n.Load(), began: time.Now().UnixNano()}
	if g.known == nil {
		g.homes = srv.homes(w, r, h)
	}
	room := g.known == nil && h.Down != protocol.DownNone
	if g.homes != nil { // a connection by way of a node that goes away would end at once
		room = room && h.Down != protocol.DownPoll && srv.rt.State() != actors.Running
	}
	if room && srv.ep.Room(w, r) != nil {
		return nil, nil
	}
	if err := srv.identify(r, g); err != nil {
		g.stranger = err
		if g.homes != nil && h.Token == "" && h.Ticket == "" {
			err = srv.vouch(r.Context(), g)
		}
		if err != nil {
			srv.refuse(w, r, err)
			return nil, nil
		}
	}
	return r, g
}

// known is the open session that a hello names, with its secret. Which of the two is
// wrong nobody learns, nor by the time it takes.
func (srv *Server) known(h *protocol.ClientHello) *Session {
	k, _ := parseKey(h.Session)
	secret, whole := parseKey(h.Secret)
	s := srv.sessions.find(k)
	var want key
	if s != nil {
		want = s.secret
	}
	right := subtle.ConstantTimeCompare(secret[:], want[:]) == 1 && whole
	if s == nil || !right || s.channel.Load() == nil || s.closing() && s.Transport() != Poll {
		return nil // but a client that polls is told goodbye
	}
	return s
}

// connect finds, or makes, the session that a hello wants, and has a connection
// carry it. What the client says is the rest of the body, if there is one.
func (srv *Server) connect(w http.ResponseWriter, r *http.Request, h *protocol.ClientHello, how Transport, body *body) {
	r, g := srv.admit(w, r, h)
	if g == nil {
		return
	}
	l, err := srv.read(body)
	defer l.free()
	if err != nil {
		srv.refuse(w, r, err)
		return
	}
	s, why := srv.resume(g)
	if g.homes != nil {
		done := false
		if done, why = srv.run(w, r, g, l); done {
			return
		}
	}
	a := &arrival{how: how, resumed: s != nil, why: why, received: h.Received, acked: h.Acked, first: h.First}
	switch {
	case s != nil:
	case h.Session != "":
		l.forget() // it was said in the session that is not there
	case h.From > 0 && len(l.said) > 0:
		srv.refuse(w, r, errNumbers)
		return
	}
	if s == nil {
		a.received = 0
		if s = srv.open(w, r, g); s == nil {
			return
		}
	}
	if body != nil {
		if err := s.post(r.Context(), h.From, l); err != nil {
			srv.abandon(s, a)
			srv.refuse(w, r, err)
			return
		}
	}
	l.free() // Hold may last as long as the connection
	if a.link, err = srv.link(w, r, h, how); err != nil {
		srv.abandon(s, a)
		return
	}
	if !s.arrive(a) {
		a.dismiss(protocol.CodeDead, "the session ended") // this moment
	}
	a.link.Hold()
}

// abandon ends a session that nobody came to.
func (srv *Server) abandon(s *Session, a *arrival) {
	if !a.resumed {
		s.Close()
	}
}

// resume is the session that a guest goes on with, or why there is none: "" if it
// asks for none.
func (srv *Server) resume(g *guest) (*Session, string) {
	s, h := g.known, g.hello
	switch {
	case h.Session == "":
		return nil, ""
	case s == nil:
		return nil, protocol.WhyExpired
	case s.UID() != g.id.UID:
		return nil, protocol.WhyUser
	case int(s.codec) != srv.codecOf(h.Codec):
		return nil, protocol.WhyCodec
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// A POST that only says something has no part in what comes down, and may have
	// been overtaken by another.
	if h.Down != protocol.DownNone && (h.Received < s.lasting.Load() || h.Received > s.uttered.Load()) {
		return nil, protocol.WhyNumbers
	}
	s.ticketed = g.ticketed
	if s.aside != nil || !g.id.Expires.IsZero() {
		s.asideLocked().expires = g.id.Expires
	}
	return s, ""
}

// open makes a session. If that fails it has answered, and returns nil.
func (srv *Server) open(w http.ResponseWriter, r *http.Request, g *guest) *Session {
	if (g.known != nil || g.homes != nil) && srv.ep.Room(w, r) != nil { // it was thought to need none
		return nil
	}
	s := &Session{srv: srv, id: srv.newID(), secret: newKey(), client: g.hello.Client, codec: uint8(srv.codecOf(g.hello.Codec)), began: g.began}
	s.since = srv.now()
	s.ticketed = g.ticketed
	if g.id.Data != nil {
		b, err := json.Marshal(g.id.Data)
		if err != nil {
			srv.opts.Logger.Error("events: encoding the data of an Identity", supervisor.Text("err", err))
			srv.refuse(w, r, errFailed)
			return nil
		}
		s.asideLocked().data = b
	}
	if !g.id.Expires.IsZero() {
		s.asideLocked().expires = g.id.Expires
	}
	srv.supersede(g)
	srv.sessions.add(s)
	c, err := srv.ep.Open((*link)(s), r, g.id.UID)
	if err != nil {
		if over, ok := errors.AsType[*actors.LimitError](err); ok && over.Limit == "MaxPerUID" && srv.evict(r.Context(), g.id.UID) {
			return srv.open(w, r, g)
		}
		srv.refuseOpen(w, r, err)
		return nil
	}
	s.channel.CompareAndSwap(nil, c)
	if srv.logouts.since(g.logouts, srv.presence.hash(g.id.UID)) { // who was let in before
		s.Close()
		srv.refuse(w, r, errAgain)
		return nil
	}
	return s
}

func (srv *Server) refuseOpen(w http.ResponseWriter, r *http.Request, err error) {
	var over *actors.LimitError
	switch {
	case errors.Is(err, actors.ErrStopped):
		srv.refuseByChannel(w, r, http.StatusServiceUnavailable, "the server is going away")
	case errors.As(err, &over) && (over.Limit == "MaxPerUID" || over.Limit == "MaxPerIP"):
		srv.refuseByChannel(w, r, http.StatusTooManyRequests, "too many connections")
	case errors.As(err, &over):
		srv.refuseByChannel(w, r, http.StatusServiceUnavailable, "the server is overloaded")
	default:
		srv.opts.Logger.Error("events: opening a session", supervisor.Text("err", err))
		srv.refuse(w, r, errFailed)
	}
}

// link answers the request with what is to carry a session.
func (srv *Server) link(w http.ResponseWriter, r *http.Request, h *protocol.ClientHello, how Transport) (transport.Link, error) {
	switch how {
	case WebSocket:
		return srv.ep.Link(w, r, transport.FramingWebSocket, actors.Head{Subprotocol: h.Codec})
	case SSE:
		return srv.ep.Link(w, r, transport.FramingSSE, actors.Head{})
	}
	return srv.ep.Link(w, r, transport.FramingStream, actors.Head{})
}
