package pipe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// raw is a peer without manners: its own stream to a node.
func raw(t *testing.T, n *node, creds credentials.TransportCredentials) (remote.RemotingClient, remote.Remoting_ReceiveClient, error) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+n.Address(), grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	client := remote.NewRemotingClient(conn)
	stream, err := client.Receive(ctx)
	if err != nil {
		return client, nil, err
	}
	if err := stream.Send(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{
		ConnectRequest: &remote.ConnectRequest{ConnectionType: &remote.ConnectRequest_ServerConnection{
			ServerConnection: &remote.ServerConnection{Address: "raw:1"},
		}},
	}}); err != nil {
		return client, nil, err
	}
	_, err = stream.Recv()
	return client, stream, err
}

func TestAStrangerIsRefused(t *testing.T) {
	own, err := fromKey([]byte("quite another key of enough bytes"))
	if err != nil {
		t.Fatal(err)
	}
	member, err := fromKey(testKey)
	if err != nil {
		t.Fatal(err)
	}
	anyone := &tls.Config{InsecureSkipVerify: true}
	forger := &tls.Config{InsecureSkipVerify: true, Certificates: own.Certificates}
	old := member.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	n := startNode(t, Config{Key: testKey}, nil)
	for name, peer := range map[string]struct {
		creds credentials.TransportCredentials
		let   bool
	}{
		"in plaintext":             {insecure.NewCredentials(), false},
		"with another key":         {credentials.NewTLS(own), false},
		"without a certificate":    {credentials.NewTLS(anyone), false},
		"with its own certificate": {credentials.NewTLS(forger), false},
		"with TLS 1.2":             {credentials.NewTLS(old), false},
		"with the key":             {credentials.NewTLS(member), true},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := raw(t, n, peer.creds); (err == nil) != peer.let {
				t.Errorf("let in: %v, %v", err == nil, err)
			}
		})
	}
	until(t, "five strangers are counted", func() bool { return n.Stats().Strangers >= 5 }) // gRPC may try again
}

func TestAPacketGoesToNoStranger(t *testing.T) {
	for name, stranger := range map[string]Config{
		"in plaintext":     {},
		"with another key": {Key: []byte("quite another key of enough bytes")},
	} {
		t.Run(name, func(t *testing.T) {
			n, other := startNode(t, Config{Key: testKey}, nil), startNode(t, stranger, nil)
			n.Send(other.Address(), &clusterpb.Packet{})
			other.Send(n.Address(), &clusterpb.Packet{})
			until(t, "both are told", func() bool {
				return n.Stats().Undelivered == 1 && other.Stats().Undelivered == 1
			})
			if len(n.arrived)+len(other.arrived) > 0 {
				t.Error("a packet arrived")
			}
		})
	}
}

func TestAnOperatorsOwnCertificates(t *testing.T) {
	own, err := fromKey([]byte("stands for an operator's authority"))
	if err != nil {
		t.Fatal(err)
	}
	own.ClientAuth = tls.NoClientCert // made mutual all the same
	a, b := startNode(t, Config{TLS: own}, nil), startNode(t, Config{TLS: own}, nil)
	a.Send(b.Address(), &clusterpb.Packet{Seq: 1})
	if got := b.next(t); got.Seq != 1 {
		t.Error("another packet")
	}
	if _, _, err := raw(t, a, credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})); err == nil {
		t.Error("one without a certificate was let in")
	}
}

func TestAMistakeInTheConfigNamesItsField(t *testing.T) {
	for field, cfg := range map[string]Config{
		"Bind":                   {Bind: "nowhere"},
		"Advertise":              {Bind: "0.0.0.0:0", Insecure: true},
		"Key":                    {Bind: "127.0.0.1:0", Key: []byte("short")},
		"TLS":                    {Bind: "127.0.0.1:0", Key: testKey, TLS: &tls.Config{}},
		"TLS.Certificates":       {Bind: "127.0.0.1:0", TLS: &tls.Config{}},
		"TLS.ClientCAs":          {Bind: "127.0.0.1:0", TLS: &tls.Config{Certificates: make([]tls.Certificate, 1)}},
		"MaxMessageBytes":        {Bind: "127.0.0.1:0", MaxMessageBytes: 1},
		"Bind without a key":     {Bind: "0.0.0.0:0", Advertise: "node:7000"},
		"Advertise without port": {Bind: "127.0.0.1:0", Advertise: "node:0"},
	} {
		_, err := Start(newSystem(), cfg, nil, nobody)
		var mistake *ConfigError
		if !errors.As(err, &mistake) || len(field) < len(mistake.Field) || field[:len(mistake.Field)] != mistake.Field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestAPortThatIsTakenIsAnError(t *testing.T) {
	n := startNode(t, Config{}, nil)
	var listen *net.OpError
	if _, err := Start(newSystem(), Config{Bind: n.Address()}, nil, nobody); !errors.As(err, &listen) {
		t.Errorf("%v", err)
	}
	if _, err := Start(n.system, Config{Bind: "127.0.0.1:0"}, nil, nobody); err == nil {
		t.Error("two pipes on one system")
	}
}

func TestStopDoesNotWaitForWhoHasNotSaidWhoTheyAre(t *testing.T) {
	n := startNode(t, Config{Key: testKey}, nil)
	conn, err := dial(t.Context(), n.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	until(t, "accepted", func() bool {
		l := n.carrier.(*wire).listener
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.conns) == 1
	})
	n.Stop()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("left open")
	}
}
