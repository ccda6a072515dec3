package actors

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/transport"
)

// Server is the HTTP server of a runtime, and ends with it in the right order.
// Make one with [Runtime.Serve]. Its methods may be called from any goroutine.
type Server struct {
	rt   *Runtime
	cfg  ServerConfig
	addr net.Addr
	http http.Server

	ending    context.Context // done when somebody wants the server to stop
	end       context.CancelFunc
	hurry     context.Context // done when somebody who waits for that has no more patience
	hasten    context.CancelFunc
	requests  context.Context // done when the requests that still run are interrupted
	interrupt context.CancelFunc
	running   atomic.Int64 // requests

	done chan struct{} // closed when everything has ended
	err  error         // to be read then
}

// ServerConfig is a server's. Addr or Listener is to be set; every other field
// says its default.
type ServerConfig struct {
	// Addr is where to listen: "host:port", where port 0 is any free one, or
	// "unix:/path". A socket file that nobody listens on any more is replaced;
	// the server removes its own when it stops.
	Addr string

	// Listener is served, and closed, instead.
	Listener net.Listener

	// Handler answers all requests. Default: http.DefaultServeMux.
	Handler http.Handler

	// TLS, if set, has the server's certificate. HTTP/2 is spoken with clients
	// that want it. No poller can serve channels then.
	TLS *tls.Config

	// MaxHeaderBytes bounds the head of a request, its longest line included
	// (net/http adds 4 KiB). Default 64 KiB. A larger one is answered with 431.
	MaxHeaderBytes int

	// MaxBodyBytes bounds the body of a request. Default 8 MiB. One that declares
	// more is answered with 413; of any other the handler gets so much and then
	// an *http.MaxBytesError.
	MaxBodyBytes int64

	// ReadHeaderTimeout is how long the head of a request may take to arrive, and
	// a PROXY header. Default 10 s.
	ReadHeaderTimeout time.Duration

	// ReadBodyTimeout is how long the body of a request may take to arrive, also if
	// nobody reads it. Then reading it fails, with os.ErrDeadlineExceeded. It does not
	// count for what follows a WebSocket's handshake. Default 1 min; negative: none.
	ReadBodyTimeout time.Duration

	// IdleTimeout is how long a connection may wait for its next request.
	// Default 2 min.
	IdleTimeout time.Duration

	// Grace is how long requests, channels apart, may go on once the channels
	// have ended. Then they are interrupted. Default 100 ms; negative: none.
	Grace time.Duration

	// StopTimeout is how long channels and actors may take to end before they
	// are cut off. Default 15 s, and what it takes to close all channels there are
	// at the pace of DrainBatch and DrainPause, which is faster where this is less.
	StopTimeout time.Duration

	// OnStop, if set, is called once while the server stops, when the channels
	// and requests have ended and the runtime still runs: here actors with a
	// [Runtime.Mailbox] are stopped.
	OnStop func()

	// ProxyProtocol are the addresses of proxies whose connections begin with a
	// PROXY protocol header, of version 1 or 2: the address it tells is that of
	// requests and channels. A proxy that sends none is refused; a header from
	// any other address is not believed, but an ordinary bad request. The peers
	// of a Unix socket count as 127.0.0.1. Default: none.
	ProxyProtocol []netip.Prefix
}

// Defaults of ServerConfig.
const (
	DefaultMaxHeaderBytes    = 64 << 10
	DefaultMaxBodyBytes      = 8 << 20
	DefaultReadHeaderTimeout = 10 * time.Second
	DefaultReadBodyTimeout   = time.Minute
	DefaultServerIdleTimeout = 2 * time.Minute
	DefaultGrace             = 100 * time.Millisecond
	DefaultStopTimeout       = 15 * time.Second
)

// Serve listens and serves until [Server.Stop]. A value that cfg must not have is
// a *[ConfigError]; what the system says to the address is wrapped. The server,
// and net/http in its name, logs to [Config].Logger.
//
// While the system has no descriptors or memory for another connection, the server
// accepts none, tells that ([supervisor.AcceptPaused]), and tries again; clients
// wait meanwhile, and the channels there are go on. A server whose listener fails
// otherwise stops by itself. A runtime may have several
// servers: the first that stops ends it, the others then answer 503 in the
// place of channels, until they are stopped too.
func (rt *Runtime) Serve(cfg ServerConfig) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(rt); err != nil {
		return nil, err
	}
	if rt.State() != Running {
		return nil, ErrStopped
	}
	ln, err := cfg.listen(rt)
	if err != nil {
		return nil, err
	}
	s := &Server{rt: rt, cfg: cfg, addr: ln.Addr(), done: make(chan struct{})}
	s.ending, s.end = context.WithCancel(context.Background())
	s.hurry, s.hasten = context.WithCancel(context.Background())
	s.requests, s.interrupt = context.WithCancel(context.Background())
	s.http = http.Server{
		Handler:           http.HandlerFunc(s.handle),
		TLSConfig:         cfg.TLS.Clone(), // net/http writes to it
		MaxHeaderBytes:    cfg.MaxHeaderBytes,
		ReadHeaderTimeout: cfg.ReadHeaderTimeout,
		IdleTimeout:       cfg.IdleTimeout,
		ErrorLog:          log.New(errorLog{rt.log}, "", 0),
	}
	go s.run(ln)
	return s, nil
}

// ListenAndServe serves until ctx is done and then stops server and runtime, as
// [Server.Stop]. It returns when they have ended. If it cannot begin, the runtime
// goes on.
func (rt *Runtime) ListenAndServe(ctx context.Context, cfg ServerConfig) error {
	s, err := rt.Serve(cfg)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-s.done:
	}
	return s.Stop(context.WithoutCancel(ctx))
}

// Addr is where the server listens: the real port, if it was to be any.
func (s *Server) Addr() net.Addr { return s.addr }

// State is Running until the server is to stop, Draining while it does so, and
// Stopped when it and the runtime have ended.
func (s *Server) State() State {
	select {
	case <-s.done:
		return Stopped
	default:
	}
	if s.ending.Err() != nil {
		return Draining
	}
	return Running
}

// Stop ends the server and then the runtime, waits for it, and returns Err:
//
//  1. The runtime is drained: channels are closed with 1001, and each Close runs.
//     Requests are still answered, those for a channel with 503.
//  2. The listener and idle connections are closed. Requests that run get
//     [ServerConfig].Grace; then their connections are closed and their contexts
//     cancelled, and nobody waits for them any longer.
//  3. [ServerConfig].OnStop is called, and the runtime is stopped.
//
// When ctx is done, or after [ServerConfig].StopTimeout, what is left is cut off
// as [Runtime.Drain] says. Stop may be called again, and then waits for the same
// end. A channel's handler, for which it waits, calls it on another goroutine.
func (s *Server) Stop(ctx context.Context) error {
	s.end()
	defer context.AfterFunc(ctx, s.hasten)()
	<-s.done
	return s.err
}

// Done is closed when the server and the runtime have ended.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is nil until Done is closed. Then it says what went wrong, if anything did:
// why the listener failed, what had to be cut off.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// run is the server's goroutine. It ends when all has ended but handlers of
// requests that ignore their interruption.
func (s *Server) run(ln net.Listener) {
	served := make(chan error, 1)
	go func() { // ended by Shutdown
		defer close(served)
		if s.cfg.TLS != nil {
			served <- s.http.ServeTLS(ln, "", "")
		} else {
			served <- s.http.Serve(ln)
		}
	}()
	var failed error
	select {
	case err := <-served:
		failed = fmt.Errorf("actors: serving %v: %w", s.addr, err)
		s.end()
	case <-s.ending.Done():
	}
	s.err = errors.Join(failed, s.windDown(served))
	close(s.done)
	s.hasten() // gives its context back
}

func (s *Server) windDown(served <-chan error) error {
	ctx, cancel := context.WithTimeout(s.hurry, s.stopTimeout())
	defer cancel()
	drained := s.rt.Drain(ctx)
	// net/http waits for Accept to return, too.
	deaf := await(ctx, func() { s.endRequests(ctx); <-served }, "the listener's Accept")
	var told error
	if s.cfg.OnStop != nil {
		told = await(ctx, s.cfg.OnStop, "ServerConfig.OnStop")
	}
	return errors.Join(drained, deaf, told, s.rt.Stop(ctx))
}

// stopTimeout is as long as it takes to say goodbye to all, and more.
func (s *Server) stopTimeout() time.Duration {
	if s.cfg.StopTimeout > 0 {
		return s.cfg.StopTimeout
	}
	batches := s.rt.Len() / s.rt.cfg.DrainBatch
	return DefaultStopTimeout + time.Duration(batches)*s.rt.cfg.DrainPause
}

// await runs code that is not ours and waits for it until ctx is done, and a
// little longer if it is done already.
func await(ctx context.Context, f func(), what string) error {
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		f()
	}()
	select {
	case <-returned:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-returned:
		return nil
	case <-time.After(forced):
		return fmt.Errorf("actors: %s does not return: %w", what, ctx.Err())
	}
}

// endRequests waits no longer than the grace, neither for requests nor for
// connections that never sent one, to which Shutdown alone would give 5 s.
func (s *Server) endRequests(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Grace)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if n := s.running.Load(); err != nil && n > 0 {
		s.rt.log.Warn("requests are interrupted", "requests", n)
	}
	_ = s.http.Close() // its error is that of a listener which is closed already
	s.interrupt()      // when what it makes them answer reaches nobody any more
}

// handle bounds a request's body, in bytes and time, and lets the request be
// interrupted: that its connection is closed cancels its context only when its body
// has been read.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > s.cfg.MaxBodyBytes {
		http.Error(w, fmt.Sprintf("the body has more than %d bytes", s.cfg.MaxBodyBytes), http.StatusRequestEntityTooLarge)
		return
	}
	s.running.Add(1)
	defer s.running.Add(-1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.requests, cancel)()
	defer s.panicked(r)
	r = r.WithContext(ctx)
	if r.Body != http.NoBody && !(r.ProtoMajor == 2 && transport.IsUpgrade(r)) { // that is a connection, not a body
		r.Body = http.MaxBytesReader(w, timed(w, r.Body, s.cfg.ReadBodyTimeout), s.cfg.MaxBodyBytes)
	}
	s.cfg.Handler.ServeHTTP(w, r)
}

func (cfg ServerConfig) withDefaults() ServerConfig {
	if cfg.Handler == nil {
		cfg.Handler = http.DefaultServeMux
	}
	cfg.MaxHeaderBytes = pick(cfg.MaxHeaderBytes, DefaultMaxHeaderBytes)
	cfg.MaxBodyBytes = pick(cfg.MaxBodyBytes, DefaultMaxBodyBytes)
	cfg.ReadHeaderTimeout = pick(cfg.ReadHeaderTimeout, DefaultReadHeaderTimeout)
	cfg.ReadBodyTimeout = pick(cfg.ReadBodyTimeout, DefaultReadBodyTimeout)
	cfg.IdleTimeout = pick(cfg.IdleTimeout, DefaultServerIdleTimeout)
	cfg.Grace = pick(cfg.Grace, DefaultGrace)
	return cfg
}

// check reports the first value of a filled-in configuration that is out of
// range. The address is left to Listen.
func (cfg ServerConfig) check(rt *Runtime) error {
	switch {
	case cfg.Listener != nil && cfg.Addr != "":
		return &ConfigError{"ServerConfig.Addr", cfg.Addr, "nothing while Listener is set"}
	case cfg.MaxHeaderBytes < 1:
		return &ConfigError{"ServerConfig.MaxHeaderBytes", cfg.MaxHeaderBytes, "1 or more, or 0 for the default"}
	case cfg.MaxBodyBytes < 1:
		return &ConfigError{"ServerConfig.MaxBodyBytes", cfg.MaxBodyBytes, "1 or more, or 0 for the default"}
	case cfg.ReadHeaderTimeout < 0:
		return &ConfigError{"ServerConfig.ReadHeaderTimeout", cfg.ReadHeaderTimeout, "more than 0, or 0 for the default"}
	case cfg.IdleTimeout < 0:
		return &ConfigError{"ServerConfig.IdleTimeout", cfg.IdleTimeout, "more than 0, or 0 for the default"}
	case cfg.StopTimeout < 0:
		return &ConfigError{"ServerConfig.StopTimeout", cfg.StopTimeout, "more than 0, or 0 for the default"}
	}
	if t := cfg.TLS; t != nil {
		if len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil {
			return &ConfigError{"ServerConfig.TLS", "without a certificate", "Certificates, GetCertificate or GetConfigForClient in it"}
		}
		if rt.cfg.Driver == DriverPoller {
			return &ConfigError{"ServerConfig.TLS", "set", "none while Config.Driver is poller"}
		}
	}
	for _, p := range cfg.ProxyProtocol {
		if !validPrefix(p) {
			return &ConfigError{"ServerConfig.ProxyProtocol", p, wantPrefix}
		}
	}
	return nil
}
