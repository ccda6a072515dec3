package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute // of connections between requests
	maxHeaderBytes    = 64 << 10

	// A connection that never sent a request keeps http.Server.Shutdown
	// waiting for 5 s, and browsers open some in advance.
	lastRequests = time.Second

	// stopTimeout bounds what is left to do when all channels have ended.
	stopTimeout = 5 * time.Second
)

// serve runs until ctx ends, then drains. Its error says what could not be
// started.
func serve(ctx context.Context, o options, stdout io.Writer, log *slog.Logger) error {
	var secure *tls.Config
	if o.secure() {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return fmt.Errorf("reading the certificate: %w", err)
		}
		secure = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		return listenError(o.addr, err)
	}
	defer ln.Close()
	rt, err := actors.Start(actors.Config{
		Options: actors.Options{Origins: o.origins},
		Driver:  o.driver,
		Logger:  log,
	})
	if err != nil {
		return err
	}
	h, err := openHouse(rt)
	if err != nil {
		return errors.Join(err, rt.Stop(ctx))
	}
	srv := &http.Server{
		Handler:           h.mux,
		TLSConfig:         secure,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelInfo),
	}
	announce(ln.Addr(), o, stdout, log)

	ended := make(chan error, 1)
	go func() { // ended by Shutdown or Close, in windDown
		if secure != nil {
			ended <- srv.ServeTLS(ln, "", "")
		} else {
			ended <- srv.Serve(ln)
		}
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	windDown(h, srv, o.drainTimeout, log)
	st := rt.Stats()
	fmt.Fprintf(stdout, "drained: opened %d, closed %d\n", st.Opened, st.Closed)
	if err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// windDown closes every channel while the server still answers (that it is
// going away), then ends the server, and last what channels and server need.
func windDown(h *house, srv *http.Server, timeout time.Duration, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := h.rt.Drain(ctx); err != nil {
		log.Warn("draining", "err", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), lastRequests)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		_ = srv.Close() // its error is that of a listener which is closed already
	}
	h.close()
	ctx, cancel = context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := h.rt.Stop(ctx); err != nil {
		log.Warn("stopping", "err", err)
	}
}

func listenError(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program: choose another address with --addr, or port 0 for any", addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s may not be used: ports below 1024 often need privileges; choose another with --addr", addr)
	}
	return fmt.Errorf("listening on %s: %w", addr, err)
}

// announce tells people and programs where the server is.
func announce(addr net.Addr, o options, stdout io.Writer, log *slog.Logger) {
	scheme := "http"
	if o.secure() {
		scheme = "https"
	}
	host := addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		host = fmt.Sprintf("localhost:%d", tcp.Port)
	}
	url, driver := scheme+"://"+host+"/", driverName(o)
	log.Info("serving", "addr", addr.String(), "url", url, "driver", driver)
	fmt.Fprintf(stdout, "troupe is serving %s (driver: %s)\n", url, driver)
}

// driverName is what auto comes to on this system.
func driverName(o options) string {
	if o.driver != actors.DriverAuto {
		return o.driver.String()
	}
	if o.secure() {
		return actors.DriverGoroutine.String()
	}
	p, err := transport.NewPoller()
	if err != nil {
		return actors.DriverGoroutine.String()
	}
	_ = p.Close()
	return actors.DriverPoller.String()
}
