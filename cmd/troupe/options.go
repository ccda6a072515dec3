package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/transport"
)

// options are what the command line says.
type options struct {
	addr         string
	driver       transport.Driver
	cert, key    string // files; both or none
	origins      []string
	proxies      []netip.Prefix
	grace        time.Duration
	drainTimeout time.Duration
	drainWindow  time.Duration
	cluster      clusterOptions
	logJSON      bool
	logLevel     slog.Level
}

var errHelp = flag.ErrHelp

// parseFlags reads the flags of serve. Its error is errHelp, a usageError, or that of
// reading a file.
func parseFlags(args []string) (options, error) {
	var o options
	fs := o.flags()
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, errHelp
		}
		return o, usageError("serve: " + err.Error())
	}
	if fs.NArg() > 0 {
		return o, usageError(fmt.Sprintf("serve: unexpected argument %q", fs.Arg(0)))
	}
	return o, o.check()
}

func (o *options) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // run prints the error, once
	fs.Usage = func() {}
	fs.StringVar(&o.addr, "addr", "127.0.0.1:8080", "`host:port` to listen on; :8080 for all interfaces, port 0 for any free one; or unix:/path")
	fs.Func("driver", "what moves the bytes: auto, poller or goroutine (default auto)", func(s string) error {
		return choose(s, &o.driver, map[string]transport.Driver{
			"auto": actors.DriverAuto, "poller": actors.DriverPoller, "goroutine": actors.DriverGoroutine,
		}, "auto, poller or goroutine")
	})
	fs.StringVar(&o.cert, "tls-cert", "", "`file` of the certificate, in PEM; needs --tls-key")
	fs.StringVar(&o.key, "tls-key", "", "`file` of the certificate's private key, in PEM")
	fs.Func("origins", "`patterns` of other origins whose pages may connect, separated by commas, such as *.example.com (default: the server's own only)", func(s string) error {
		for p := range strings.SplitSeq(s, ",") {
			o.origins = append(o.origins, strings.TrimSpace(p))
		}
		return transport.CheckOriginPatterns(o.origins)
	})
	fs.Func("proxy-protocol", "`networks` of proxies whose connections begin with a PROXY protocol header, separated by commas, such as 10.0.0.0/8; 127.0.0.1/32 has the peers of a Unix socket (default: none)", func(s string) error {
		for n := range strings.SplitSeq(s, ",") {
			p, err := netip.ParsePrefix(strings.TrimSpace(n))
			if err != nil || p.Addr().Is4In6() {
				return fmt.Errorf("%q is no network, such as 10.0.0.0/8 or 2001:db8::/32", n)
			}
			o.proxies = append(o.proxies, p)
		}
		return nil
	})
	fs.DurationVar(&o.grace, "grace", events.DefaultGrace, "how long the chat keeps what waits for a page that is not connected")
	fs.DurationVar(&o.drainTimeout, "drain-timeout", 15*time.Second, "after SIGTERM, how long connections get to close before they are cut off")
	fs.DurationVar(&o.drainWindow, "drain-window", actors.DefaultDrainWindow, "after SIGTERM, over how long the pages are told to come back, each at a time of its own")
	fs.StringVar(&o.cluster.addr, "cluster-addr", "", "IP `address:port` where other nodes reach this one: of a cluster, which this makes it join, and of which it may be the first node. Messages go by the next port")
	fs.Func("join", "`addresses` of nodes to join, each host:port as in their --cluster-addr, separated by commas; one that answers is enough. --cluster-addr is then 127.0.0.1:7946 by default", func(s string) error {
		for seed := range strings.SplitSeq(s, ",") {
			o.cluster.join = append(o.cluster.join, strings.TrimSpace(seed))
		}
		return nil
	})
	fs.StringVar(&o.cluster.name, "node-name", "", "`name` of the node, which no other has (default: the host's and the cluster's port)")
	fs.StringVar(&o.cluster.pipe, "pipe-addr", "", "IP `address:port` for messages between nodes, if it is not the port after that of --cluster-addr")
	fs.StringVar(&o.cluster.keyFile, "cluster-key-file", "", "`file` of the secret that all nodes share: 16, 24 or 32 random bytes in hex or base64. Further lines are keys that are accepted as well, while it is being changed. Or all this is in $"+keyVariable+". Only a cluster on this machine needs none")
	fs.Func("log", "form of the log: text or json (default text)", func(s string) error {
		return choose(s, &o.logJSON, map[string]bool{"text": false, "json": true}, "text or json")
	})
	fs.Func("log-level", "least `level` to log: debug, info, warn or error (default info)", func(s string) error {
		return choose(s, &o.logLevel, map[string]slog.Level{
			"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
		}, "debug, info, warn or error")
	})
	return fs
}

func choose[T any](s string, to *T, from map[string]T, want string) error {
	v, ok := from[s]
	if !ok {
		return errors.New("want " + want)
	}
	*to = v
	return nil
}

// check finds what each flag alone does not show.
func (o *options) check() error {
	switch {
	case (o.cert == "") != (o.key == ""):
		return usageError("serve: --tls-cert and --tls-key go together")
	case o.secure() && o.driver == actors.DriverPoller:
		return usageError("serve: the poller cannot serve TLS: use --driver auto or goroutine")
	case o.grace < time.Millisecond:
		return usageError(fmt.Sprintf("serve: --grace is %v, want 1ms or more", o.grace))
	case o.drainTimeout <= 0:
		return usageError(fmt.Sprintf("serve: --drain-timeout is %v, want more than 0", o.drainTimeout))
	case o.drainWindow < time.Millisecond:
		return usageError(fmt.Sprintf("serve: --drain-window is %v, want 1ms or more", o.drainWindow))
	}
	if err := o.cluster.check(); err != nil {
		return err
	}
	path, unix := strings.CutPrefix(o.addr, "unix:")
	if unix && path != "" {
		return nil
	}
	_, port, err := net.SplitHostPort(o.addr)
	if n, e := strconv.Atoi(port); unix || err != nil || e == nil && n > 65535 {
		return usageError(fmt.Sprintf("serve: --addr is %q, want host:port, such as 127.0.0.1:8080 or :8080, or unix:/path", o.addr))
	}
	return nil
}

func (o *options) secure() bool { return o.cert != "" }

func (o *options) logger(w io.Writer) *slog.Logger {
	ho := &slog.HandlerOptions{Level: o.logLevel}
	if o.logJSON {
		return slog.New(slog.NewJSONHandler(w, ho))
	}
	return slog.New(slog.NewTextHandler(w, ho))
}
