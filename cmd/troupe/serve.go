package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"syscall"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// serve runs until ctx ends, then drains. Its error says what could not be
// started, or went on no longer.
func serve(ctx context.Context, o options, stdout io.Writer, log *slog.Logger) error {
	var secure *tls.Config
	if o.secure() {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return fmt.Errorf("reading the certificate: %w", err)
		}
		secure = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	ln, err := actors.Listen(o.addr)
	if err != nil {
		return listenError(o.addr, err)
	}
	defer ln.Close()
	n, err := newNode(o.cluster, log)
	if err != nil {
		return err
	}
	rt, err := actors.Start(n.into(actors.Config{
		Options:     actors.Options{Origins: o.origins},
		Driver:      o.driver,
		DrainWindow: o.drainWindow,
		Logger:      log,
	}))
	if err != nil {
		return err
	}
	h, err := openHouse(rt, chatOptions{grace: o.grace, origins: o.origins, logger: log, node: n}, lobbyLimits{})
	if err != nil {
		return errors.Join(err, rt.Stop(ctx))
	}
	srv, err := rt.Serve(actors.ServerConfig{
		Listener:      ln,
		Handler:       h.mux,
		TLS:           secure,
		StopTimeout:   o.drainTimeout,
		OnStop:        h.close,
		ProxyProtocol: o.proxies,
	})
	if err != nil {
		h.close()
		return errors.Join(err, rt.Stop(ctx))
	}
	announce(srv.Addr(), o, stdout, log)
	if n != nil {
		fmt.Fprintf(stdout, "troupe is node %s at %s\n", n.name(), o.cluster.addr)
	}
	select {
	case <-ctx.Done():
		if err := srv.Stop(context.WithoutCancel(ctx)); err != nil {
			log.Warn("stopping", "err", err)
		}
	case <-srv.Done():
		err = srv.Err()
	}
	st := rt.Stats()
	fmt.Fprintf(stdout, "drained: opened %d, closed %d\n", st.Opened, st.Closed)
	return err
}

func listenError(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program: choose another address with --addr, or port 0 for any", addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s may not be used: ports below 1024 often need privileges; choose another with --addr", addr)
	}
	return err
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
	if addr.Network() == "unix" {
		url = "unix:" + addr.String()
	}
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
