package events

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// Server turns requests for one URL into sessions and their connections. It is an
// http.Handler.
type Server struct {
	// Immutable.
	rt       *actors.Runtime
	nodes    actors.Nodes // nil: there are no others
	prefix   string       // of what this server and its like on other nodes are called
	ep       *actors.Endpoint
	opts     Options
	codecs   []Codec // JSON is the first
	behavior Behavior
	timers   *supervisor.Timers
	base     time.Time

	tellsSigns bool // the behavior hears of pings and pongs

	sessions sessions
	presence presence
	rooms    rooms
	logouts  logouts
	contests sync.Map // of *contest, by their numbers, while other nodes are asked
	tickets  tickets
	routes   routes
	errands  atomic.Int64 // what is carried by sessions of other nodes
	saying   atomic.Int64 // bytes of what says much to them
	tunnels  tunnels
}

// Behavior is how the handler of a server's sessions is written: [Handlers] or
// [FromProps].
type Behavior interface {
	behavior(srv *Server) actors.Behavior
}

// New makes a server whose sessions live in rt and end with it. A value that o must
// not have is a *[ConfigError], or of o.Channel a *[actors.ConfigError].
func New(rt *actors.Runtime, b Behavior, o Options) (*Server, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	if b == nil {
		return nil, &ConfigError{"Behavior", nil, "Handlers or FromProps"}
	}
	srv := &Server{
		rt:       rt,
		opts:     o,
		codecs:   append([]Codec{jsonCodec{}}, o.Codecs...),
		behavior: b,
		timers:   supervisor.NewTimers(0),
		base:     time.Now(),
		prefix:   prefixOf(o.Channel.Name),
	}
	srv.presence.init(srv)
	srv.rooms.srv = srv
	srv.tickets.max = o.MaxTickets
	channel := o.Channel
	channel.PingInterval, channel.WriteTimeout = -1, -1 // of connections they are ours
	channel.LendMessages = true
	channel.Wire = (*wire)(srv)
	channel.Refuse = srv.refuseByChannel
	var err error
	if srv.ep, err = rt.Endpoint(channel, b.behavior(srv)); err != nil {
		return nil, err
	}
	if srv.nodes = rt.Nodes(); srv.nodes != nil {
		srv.meet()
	}
	return srv, nil
}

// Runtime is the one the sessions live in.
func (srv *Server) Runtime() *actors.Runtime { return srv.rt }

// Len is how many sessions there are.
func (srv *Server) Len() int {
	n := 0
	for i := range srv.sessions {
		sh := &srv.sessions[i]
		sh.mu.Lock()
		n += len(sh.byID)
		sh.mu.Unlock()
	}
	return n
}

// ServeHTTP does what the protocol says of a request (docs/protocol.md §4). It
// returns when the session has the connection; where that cannot be taken from
// net/http (HTTP/2, wrapped writers), or is for a session on another node, when it has ended.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if srv.opts.Reject != nil && srv.opts.Reject(w, r) {
		return
	}
	if srv.preflight(w, r) {
		return
	}
	if r.Method == http.MethodPost {
		srv.servePost(w, r)
		return
	}
	srv.serveUpgrade(w, r)
}
