package pipe

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// A peer that is silent for pingAfter is asked; without an answer within
	// pingTimeout its connection ends. gRPC allows a client no less.
	pingAfter   = 10 * time.Second
	pingTimeout = 3 * time.Second
	serverPing  = 12 * time.Second // later than the client's, which as a rule suffices

	// unread is how much a peer may have sent that is not read, as in a lane. With a window
	// of its own choice, which it measures, gRPC costs a tenth more.
	unread = 4 << 20

	// largestBatch is what another's remote may make of its largest messages:
	// gRPC's limit is on the batch.
	largestBatch = 64
)

func (c *Config) credentials() (credentials.TransportCredentials, error) {
	var conf *tls.Config
	var err error
	switch {
	case c.Key != nil:
		conf, err = fromKey(c.Key, c.OldKeys...)
	case c.TLS != nil:
		conf, err = fromOperator(c.TLS)
	default:
		return insecure.NewCredentials(), nil
	}
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(conf), nil
}

// newWire makes a wire with what gRPC needs to face a network.
func newWire(p *Pipe, cfg Config, creds credentials.TransportCredentials, l net.Listener) *wire {
	largest := largestBatch * (cfg.MaxMessageBytes + messageCost)
	w := &wire{
		p: p, maximum: cfg.MaxMessageBytes,
		listener: &listener{Listener: l, conns: make(map[*accepted]struct{})},
		served:   make(chan struct{}),
		open:     make(map[string]*link),
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.server = grpc.NewServer(
		grpc.Creds(&door{creds, &p.strangers}),
		grpc.ForceServerCodecV2(newParcels()),
		grpc.InitialWindowSize(unread),
		grpc.InitialConnWindowSize(unread),
		grpc.MaxRecvMsgSize(largest),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: serverPing, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingAfter / 2, PermitWithoutStream: true}),
		grpc.ConnectionTimeout(helloTimeout),
		grpc.WaitForHandlers(true), // so that no reader is left when Stop returns
		grpc.StreamInterceptor(p.guard),
	)
	w.dial = []grpc.DialOption{
		grpc.WithTransportCredentials(creds.Clone()),
		grpc.WithContextDialer(dial),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newParcels())),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0), // a link ends with its peer
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout, PermitWithoutStream: true}),
	}
	return w
}

// dial goes to the node itself: by default gRPC would ask the environment for
// a proxy.
func dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}
