package events

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// Hello is what a client says about itself.
type Hello struct {
	Client string          // what it calls itself
	Token  string          // what the application's client brings to be known by
	Data   json.RawMessage // anything of the application's
}

// Identity is who a client is.
type Identity struct {
	// UID is the user; "" is nobody. Users that nobody is shall be addressed by
	// their sessions, or by a topic.
	UID string

	// Expires is when the client has to bring a fresh token: it is asked for one a
	// while before, and its connections are closed with 3003 if it brings none.
	// Zero: never.
	Expires time.Time

	// Data is told to the client when the session begins; anything that encodes to
	// JSON.
	Data any
}

func newKey() (k key) {
	_, _ = rand.Read(k[:]) // it never fails
	return k
}

// CheckCSRF reports whether a request has the token that is wanted, compared in
// constant time: hello is the token that its hello brings, "" if none; else it is that
// of the field X-CSRF-Token or X-XSRF-Token, or of the parameter csrf-token of the
// URL, the first there is. An empty token is never right.
func CheckCSRF(r *http.Request, hello, want string) bool {
	got := hello
	for _, other := range []string{r.Header.Get("X-CSRF-Token"), r.Header.Get("X-XSRF-Token"), r.URL.Query().Get("csrf-token")} {
		if got == "" {
			got = other
		}
	}
	return want != "" && subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// CheckOrigin reports whether the page that made a request may: see
// [transport.OriginAllowed].
func CheckOrigin(r *http.Request, patterns []string) bool {
	return transport.OriginAllowed(r, patterns)
}

// identify finds out who a client is. A session that a ticket has let in is gone on
// with by its secret, until the ticket's identity expires: a ticket is good for one
// hello, and polls say many.
func (srv *Server) identify(r *http.Request, g *guest) (err error) {
	switch h := g.hello; {
	case h.Ticket != "":
		g.ticketed = true
		g.id, err = srv.tickets.redeem(h.Ticket, h.Down == protocol.DownCheck)
	case g.known != nil && h.Token == "" && g.known.isTicketed():
		g.ticketed = true
		g.id, err = g.known.identity()
	case srv.opts.Authorize != nil:
		g.id, err = srv.authorize(r, &Hello{Client: h.Client, Token: h.Token, Data: h.Data})
	}
	return err
}

func (s *Session) isTicketed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ticketed
}

// identity is who the session's client is, as long as it is.
func (s *Session) identity() (Identity, error) {
	id := Identity{UID: s.UID()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aside != nil {
		id.Expires = s.aside.expires
	}
	if !id.Expires.IsZero() && !time.Now().Before(id.Expires) {
		return Identity{}, errTicket
	}
	return id, nil
}

// authorize asks the application. If it panics that is its failure, which nobody but
// the log learns.
func (srv *Server) authorize(r *http.Request, h *Hello) (id Identity, err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			srv.opts.Logger.Error("events: Authorize panicked", supervisor.Text("panic", p), "stack", string(debug.Stack()))
			id, err = Identity{}, errFailed
		}
	}()
	return srv.opts.Authorize(r, h)
}

// preflight answers a browser that asks whether a page of another origin may POST,
// and lets the page see the answers.
func (srv *Server) preflight(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || sameHost(origin, r.Host) || !transport.OriginAllowed(r, srv.ep.Options().Origins) {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "POST")
	h.Set("Access-Control-Allow-Headers", "Content-Type, X-CSRF-Token, X-XSRF-Token, Authorization")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

func sameHost(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, host)
}
