package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
	"github.com/troupe-actors/troupe/cluster/memberlist"
	"github.com/troupe-actors/troupe/cluster/membership"
)

// stranger has others than nodes speak to the nodes.
func stranger(st *stage) error {
	if err := st.found("a", "b"); err != nil {
		return err
	}
	guests := &crowd{}
	where, err := st.visit(guests, guestsOfEach)
	if err != nil {
		return err
	}
	guests.talk()
	if err := spoken(guests, 5); err != nil {
		return err
	}
	a := st.nodes[0]
	for _, f := range []func(*actorOf) error{gossipWithAnotherKey, gossipWithoutKey, pipeWithAnotherKey, pipeWithoutKey} {
		if err := f(a); err != nil {
			return err
		}
	}
	r, err := a.look()
	if err != nil {
		return err
	}
	st.note("%d strangers counted at the pipe", r.Stats.Strangers)
	if err := spoken(guests, 50); err != nil {
		return err
	}
	guests.hush()
	if err := eventually("nobody was disturbed", func() error { return complete(guests.heard()) }); err != nil {
		return err
	}
	if err := st.agreed(truth(where)); err != nil {
		return err
	}
	for i, n := range st.nodes {
		if _, err := news([]*actorOf{n}, st.nodes[1-i].Name, "up"); err != nil {
			return err
		}
	}
	return st.rogue()
}

// gossipWithAnotherKey is a node of another cluster that tries to join.
func gossipWithAnotherKey(n *actorOf) error {
	return intrude(n, []byte("thirty-two bytes for other nodes"), "no installed keys could decrypt")
}

func gossipWithoutKey(n *actorOf) error { return intrude(n, nil, "is not encrypted") }

// intrude has a gossiper try to join, until the node has logged its refusal.
func intrude(n *actorOf, key []byte, said string) error {
	p, err := memberlist.New(memberlist.Config{
		BindAddr: "127.0.0.1:0", Join: []string{n.Addr}, Key: key, FailAfter: failAfter, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	defer func() { _ = p.Stop() }()
	met := make(chan []membership.Member, 1)
	if err := p.Start(membership.Member{Name: "intruder", Addr: "127.0.0.1:1", Epoch: 1, Process: "intruder"}, func(ms []membership.Member) {
		select {
		case met <- ms:
		default:
		}
	}); err != nil {
		return err
	}
	_, err = until("gossip is refused", []*actorOf{n}, func(rs []report) error {
		if !strings.Contains(rs[0].Diary.Warnings, said) {
			return fmt.Errorf("%s did not say %q, but:\n%s", n.Name, said, rs[0].Diary.Warnings)
		}
		return nil
	})
	select {
	case ms := <-met:
		return fmt.Errorf("the intruder knows of %v", ms)
	default:
		return err
	}
}

// believer is a membership that says a node is there.
type believer struct{ of membership.Member }

func (b believer) Start(_ membership.Member, changed func([]membership.Member)) error {
	changed([]membership.Member{b.of})
	return nil
}
func (b believer) Update(membership.Member) error { return nil }
func (b believer) Leave(context.Context) error    { return nil }
func (b believer) Stop() error                    { return nil }

// pipeWithAnotherKey is a node with another key that knows the address and life of one.
func pipeWithAnotherKey(n *actorOf) error {
	before, err := n.look()
	if err != nil {
		return err
	}
	cl, err := cluster.New(cluster.Config{
		Name: "intruder", Addr: "127.0.0.1:0", Key: []byte("thirty-two bytes for other nodes"), Logger: slog.New(slog.DiscardHandler),
		Provider: believer{membership.Member{Name: n.Name, Addr: before.Self.Addr, Epoch: before.Self.Epoch, Process: "p"}},
	})
	if err != nil {
		return err
	}
	rt, err := actors.Start(actors.Config{Cluster: cl, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nobody hears that it leaves
		_ = rt.Stop(ctx)
	}()
	return counted(n, before, func(s cluster.Stats) uint64 { return s.Strangers }, 1)
}

// counted waits until a node has counted so many more.
func counted(n *actorOf, before report, of func(cluster.Stats) uint64, more uint64) error {
	_, err := until("it is counted", []*actorOf{n}, func(rs []report) error {
		if got := of(rs[0].Stats); got < of(before.Stats)+more {
			return fmt.Errorf("%s has counted %+v, before %+v", n.Name, rs[0].Stats, before.Stats)
		}
		return nil
	})
	return err
}

// call opens a stream to a node as remote does.
func call(ctx context.Context, addr string, creds credentials.TransportCredentials) (conn *grpc.ClientConn, stream remote.Remoting_ReceiveClient, err error) {
	conn, err = grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		return nil, nil, err
	}
	stream, err = remote.NewRemotingClient(conn).Receive(ctx)
	if err == nil {
		err = stream.Send(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{
			ConnectionType: &remote.ConnectRequest_ServerConnection{ServerConnection: &remote.ServerConnection{Address: "rogue:1"}},
		}}})
	}
	if err == nil {
		_, err = stream.Recv()
	}
	return conn, stream, err
}

// pipeWithoutKey speaks plaintext, then TLS without a certificate, then rubbish.
func pipeWithoutKey(n *actorOf) error {
	before, err := n.look()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, creds := range []credentials.TransportCredentials{insecure.NewCredentials(), credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})} {
		conn, _, err := call(ctx, n.Pipe, creds)
		if conn != nil {
			_ = conn.Close()
		}
		if err == nil {
			return fmt.Errorf("%s was let in", creds.Info().SecurityProtocol)
		}
	}
	conn, err := net.Dial("tcp", n.Pipe)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		return err
	}
	return counted(n, before, func(s cluster.Stats) uint64 { return s.Strangers }, 3)
}

// rogue speaks remote's protocol with a node that lets everybody in, and says what
// nobody understands.
func (st *stage) rogue() error {
	s := setup{Name: "open"}
	for _, addr := range []*string{&s.Addr, &s.Pipe, &s.Web} {
		var err error
		if *addr, err = freeAddr(); err != nil {
			return err
		}
	}
	n := &actorOf{setup: s, loud: st.loud}
	st.nodes = append(st.nodes, n)
	if err := n.rise(); err != nil {
		return err
	}
	guests := &crowd{}
	g, err := guests.connect(n.Web, "open0", "open0")
	if err != nil {
		return err
	}
	st.undo = append(st.undo, guests.part)
	before, err := n.look()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, stream, err := call(ctx, n.Pipe, insecure.NewCredentials())
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, method := range []string{"/remote.Remoting/NoSuch", "/remote.Remoting/ListProcesses", "/remote.Remoting/GetProcessDiagnostics", "/no.Such/Service"} {
		if err := conn.Invoke(ctx, method, &remote.ListProcessesRequest{}, &remote.ListProcessesResponse{}); err == nil {
			return fmt.Errorf("%s is served", method)
		}
	}
	bad := []*remote.MessageEnvelope{
		{TypeId: 0, MessageData: []byte{1}}, // no such type
		{TypeId: 99},
		{TypeId: -1},
		{Target: -1},
		{Sender: 99},
		{SerializerId: 7},
		{TypeId: 1}, // a Watch by nobody
	}
	if err := stream.Send(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: &remote.MessageBatch{
		TypeNames: []string{"no.Such", "actor.Watch"},
		Targets:   []*actor.PID{{Id: "troupe/hub"}},
		Envelopes: bad,
	}}}); err != nil {
		return err
	}
	if err := stream.Send(&remote.RemoteMessage{}); err != nil {
		return err
	}
	if err := counted(n, before, func(s cluster.Stats) uint64 { return s.Malformed }, uint64(len(bad))); err != nil {
		return err
	}
	// It works as before.
	r, err := n.look()
	if err != nil {
		return err
	}
	if _, err := n.do(order{Do: "send", PIDs: []pid{r.PIDs["open0"]}, Count: 3}); err != nil {
		return err
	}
	return eventually("the node goes on", func() error {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.x != 3 {
			return fmt.Errorf("the guest heard %d messages", g.x)
		}
		return nil
	})
}
