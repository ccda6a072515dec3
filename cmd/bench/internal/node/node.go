//go:build linux

package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/pprof"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
	"github.com/troupe-actors/troupe/cmd/bench/internal/clock"
)

// patience is how long one thing may take.
const patience = 2 * time.Minute

// node is this process.
type node struct {
	rt     *actors.Runtime  // nil with remote alone
	cl     *cluster.Cluster // nil but in a cluster
	system *actor.ActorSystem
	crowd  crowd
}

// Run is a node until its input ends.
func Run(in io.Reader, out io.Writer) error {
	orders, reports := json.NewDecoder(in), json.NewEncoder(out)
	var o Options
	if err := orders.Decode(&o); err != nil {
		return err
	}
	if o.Profile != "" {
		f, err := os.Create(o.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	began := clock.Now()
	n, err := start(o)
	if err != nil {
		return err
	}
	if err := reports.Encode(Report{Address: n.system.Address(), At: began}); err != nil {
		return err
	}
	for {
		var order Order
		if err := orders.Decode(&order); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		var r Report
		if err := n.obey(order, &r); err != nil {
			r.Error = err.Error()
		}
		if err := reports.Encode(r); err != nil {
			return err
		}
	}
}

func start(o Options) (*node, error) {
	n := &node{}
	quiet := slog.New(slog.DiscardHandler)
	conf, err := o.tls()
	if err != nil {
		return nil, err
	}
	if o.Kind == Remote {
		n.system = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }))
		remote.NewRemote(n.system, remote.Configure("127.0.0.1", 0, remoteOptions(conf)...)).Start()
	} else {
		cfg := actors.Config{Logger: quiet, Options: actors.Options{PingInterval: -1, IdleTimeout: time.Hour}}
		if o.Kind == Cluster {
			n.cl, err = cluster.New(cluster.Config{
				Name: o.Name, Addr: o.Addr, Join: o.Join, FailAfter: o.FailAfter, TLS: conf, Logger: quiet,
			})
			if err != nil {
				return nil, err
			}
			cfg.Cluster = n.cl
		}
		if n.rt, err = actors.Start(cfg); err != nil {
			return nil, err
		}
		n.system = n.rt.System()
	}
	_, err = n.system.Root.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return new(sink) }), sinkName)
	return n, err
}

// tls is what both ends of a connection use, and ask of the other.
func (o *Options) tls() (*tls.Config, error) {
	if o.Certificate == nil {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(o.Certificate, o.Key)
	if err != nil {
		return nil, err
	}
	authority := x509.NewCertPool()
	authority.AppendCertsFromPEM(o.Certificate)
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		RootCAs:      authority,
		ClientCAs:    authority,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}, nil
}

// remoteOptions are those without which protoactor's remote must not face a network:
// of a stream that breaks, a peer that hangs, a batch that is too large.
func remoteOptions(conf *tls.Config) []remote.ConfigOption {
	const largest = 256 << 20
	creds := insecure.NewCredentials()
	if conf != nil {
		creds = credentials.NewTLS(conf)
	}
	survive := func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic: %v", v)
			}
		}()
		return handler(srv, stream)
	}
	return []remote.ConfigOption{
		remote.WithEndpointWriterQueueSize(4096),
		remote.WithServerOptions(
			grpc.Creds(creds),
			grpc.StreamInterceptor(survive),
			grpc.MaxRecvMsgSize(largest),
			grpc.KeepaliveParams(keepalive.ServerParameters{Time: 12 * time.Second, Timeout: 3 * time.Second}),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		),
		remote.WithDialOptions(
			grpc.WithTransportCredentials(creds),
			grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(largest), grpc.MaxCallRecvMsgSize(largest)),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true}),
		),
		remote.WithCallOptions(grpc.MaxCallSendMsgSize(largest), grpc.MaxCallRecvMsgSize(largest)),
	}
}

func (n *node) obey(o Order, r *Report) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch o.Do {
	case Look:
		look(r, o.N != 0)
	case Sees:
		return n.until(ctx, r, func() bool { return len(n.cl.Nodes()) == o.N })
	case Users:
		return n.until(ctx, r, func() bool { return n.cl.CountUsers() == o.N })
	case Open:
		return n.crowd.open(n.rt, o)
	case Listen:
		n.crowd.listen(o)
	case Heard:
		return n.crowd.heard(ctx, r)
	case Publish:
		return n.publish(o, r)
	case Send:
		return n.sendUsers(o, r)
	case Tell:
		return n.tell(o, r)
	case Ask:
		return n.ask(o, r)
	default:
		return fmt.Errorf("no such order: %q", o.Do)
	}
	return nil
}

// until looks every millisecond.
func (n *node) until(ctx context.Context, r *Report, ok func() bool) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.At = clock.Now()
	return nil
}
