package actors

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// Listen listens on what a [ServerConfig].Addr may be. [Runtime.Serve] does that
// by itself; a program that wants to know first, or to give up privileges before
// it serves, sets ServerConfig.Listener to the result. An address that makes no
// sense is a *[ConfigError]; what the system says to it is wrapped.
func Listen(addr string) (net.Listener, error) {
	network, address := "tcp", addr
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, address = "unix", path
	}
	if !validAddr(network, address) {
		return nil, &ConfigError{"ServerConfig.Addr", fmt.Sprintf("%q", addr), "host:port, such as :8080 or 127.0.0.1:0, or unix:/path"}
	}
	ln, err := net.Listen(network, address)
	if err != nil && network == "unix" && deserted(address) {
		if err = os.Remove(address); err == nil || errors.Is(err, fs.ErrNotExist) {
			ln, err = net.Listen(network, address)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("actors: listening on %s: %w", addr, err)
	}
	return ln, nil
}

func validAddr(network, address string) bool {
	if network == "unix" {
		return address != ""
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = net.LookupPort(network, port)
	return err == nil
}

// listen is the listener of a checked configuration.
func (cfg ServerConfig) listen(rt *Runtime) (net.Listener, error) {
	ln := cfg.Listener
	if ln == nil {
		var err error
		if ln, err = Listen(cfg.Addr); err != nil {
			return nil, err
		}
	}
	ln = newAcceptor(ln, rt.event)
	if len(cfg.ProxyProtocol) == 0 {
		return ln, nil
	}
	return &transport.ProxyListener{
		Listener: ln,
		Trusted:  cfg.ProxyProtocol,
		Timeout:  cfg.ReadHeaderTimeout,
		Refused: func(proxy net.Addr, err error) {
			rt.log.Warn("a proxy is refused", "proxy", proxy.String(), supervisor.Text("err", err))
		},
	}, nil
}

// deserted tells whether a file is a socket that nobody listens on: a process
// that was killed leaves it behind.
func deserted(path string) bool {
	if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSocket == 0 {
		return false
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = c.Close() // it has told what we wanted to know
	return false
}
