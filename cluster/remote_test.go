package cluster_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
)

// ownRemote starts the service's own remote as docs/cluster.md says, but for TLS.
func ownRemote(system *actor.ActorSystem) *remote.Remote {
	const batch, frame = 256, 70 << 10
	//lint:ignore SA1019 remote dials with grpc.Dial, which would leave a connection behind
	blocking := []grpc.DialOption{grpc.WithBlock(), grpc.FailOnNonTempDialError(true), grpc.WithTimeout(time.Second)}
	creds := insecure.NewCredentials() // on loopback; else credentials.NewTLS, which asks for certificates on both sides
	r := remote.NewRemote(system, remote.Configure("127.0.0.1", 0,
		remote.WithServerOptions(
			grpc.Creds(creds),
			grpc.MaxRecvMsgSize(batch*frame),
			grpc.KeepaliveParams(keepalive.ServerParameters{Time: 12 * time.Second, Timeout: 3 * time.Second}),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
			grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) (err error) {
				defer recovered(&err)
				return h(srv, s)
			}),
			grpc.UnaryInterceptor(func(ctx context.Context, m any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (_ any, err error) {
				defer recovered(&err)
				return h(ctx, m)
			}),
		),
		remote.WithDialOptions(append(blocking,
			grpc.WithTransportCredentials(creds),
			grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(batch*frame)),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true}),
		)...),
		remote.WithEndpointWriterBatchSize(batch),
		remote.WithEndpointWriterQueueSize(4096),
		func(c *remote.Config) { c.MaxRetryCount = 1 },
	))
	r.Start()
	return r
}

// recovered keeps a message that cannot be read from ending the process.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = status.Error(codes.InvalidArgument, fmt.Sprint(v))
	}
}

// endRemote ends it. Shutdown panics if it meets the end of another's connection to it,
// and has not stopped its server then.
func endRemote(r *remote.Remote) {
	defer func() {
		if recover() != nil {
			r.Shutdown(false)
		}
	}()
	r.Shutdown(true)
}

// serviceRemote is what service is to end. Only TestTheServicesOwnRemote sets it.
var serviceRemote *remote.Remote

// service runs that test, and then the end of its remote, which must return. It does
// so behind the test as Shutdown itself has data races with remote's readers.
func service(m *testing.M) (code int) {
	if code = m.Run(); code != 0 {
		return code
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		endRemote(serviceRemote)
	}()
	select {
	case <-ended:
		return 0
	case <-time.After(time.Minute):
		fmt.Println("remote does not end")
		return 1
	}
}

// A node works over the service's own actor system and remote. It is a process of its own,
// since remote's Start writes gRPC's global logger.
func TestTheServicesOwnRemote(t *testing.T) {
	if os.Getenv(roleVariable) != "service" {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestTheServicesOwnRemote$")
		cmd.Env = append(os.Environ(), roleVariable+"=service", "GORACE=exitcode=0") // see service
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	system := quiet()
	own := ownRemote(system)
	w := &town{T: t, system: system}
	a := w.settle("a", func(c *cluster.Config) { c.Remote = own })
	w.system = nil
	b := w.settle("b", nil)
	a.sees(2)
	b.sees(2)

	for _, way := range []struct{ from, to *node }{{a, b}, {b, a}} {
		to, got := way.to.clerk(answers)
		way.from.rt.System().Root.Send(to, Hit{1})
		way.from.rt.System().Root.Send(to, wrapperspb.String("protobuf"))
		if m := (<-got).message; m != (Hit{1}) {
			t.Error(m)
		}
		if m, ok := (<-got).message.(*wrapperspb.StringValue); !ok || m.Value != "protobuf" {
			t.Error(m)
		}
		round(t, way.from, to)
		ended := way.from.watch(to)
		round(t, way.from, to)
		way.to.rt.System().Root.Stop(to)
		if e := <-ended; e.Who.Id != to.Id || e.Why != actor.TerminatedReason_Stopped {
			t.Error(e)
		}
		guest := way.to.join("at-"+way.to.name, "room")
		way.from.rt.System().Root.Send(way.to.address("at-"+way.to.name), &actors.Push{Message: "pushed"})
		guest.hears("pushed")
		way.from.knows("at-"+way.to.name, way.to.name)
		must(t, way.from.rt.SendUID("at-"+way.to.name, "sent"))
		guest.hears("sent")
		must(t, guest.peer.Disconnect())
	}

	guest, plain := a.join("of-plain"), w.process("plain")
	to := a.address("of-plain")
	plain.do("ask %s %s hello", to.Address, to.Id)
	plain.says("hello <nil>")
	plain.do("push %s %s text", to.Address, to.Id)
	guest.hears("text")
	plain.do("watch %s %s", to.Address, to.Id)
	plain.do("close %s %s 4001", to.Address, to.Id)
	guest.ends(4001, "of remote's")
	plain.says("terminated " + to.Id + " Stopped")

	// A stranger's call ends neither the process nor anything else.
	conn, err := grpc.NewClient(a.rt.System().Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	if _, err := remote.NewRemotingClient(conn).ListProcesses(t.Context(), &remote.ListProcessesRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	stream, err := remote.NewRemotingClient(conn).Receive(t.Context())
	must(t, err)
	must(t, stream.Send(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: &remote.MessageBatch{
		TypeNames: []string{"of.nobody"}, Targets: []*actor.PID{{Id: "x"}}, Envelopes: []*remote.MessageEnvelope{{}},
	}}}))
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	must(t, conn.Close())

	// Each loses the other, and they find each other again.
	here, _ := a.clerk(answers)
	there, _ := b.clerk(answers)
	ofA, ofB := b.watch(here), a.watch(there)
	round(t, a, there)
	round(t, b, here)
	w.members.Cut([]string{"a"}, []string{"b"})
	for _, ended := range []<-chan *actor.Terminated{ofA, ofB} {
		if e := <-ended; e.Why != actor.TerminatedReason_AddressTerminated {
			t.Error(e)
		}
	}
	w.members.Heal()
	a.sees(2)
	b.sees(2)
	round(t, a, there)
	round(t, b, here)

	b.stop()
	a.sees(1)
	a.stop()
	serviceRemote = own
	if len(ofA)+len(ofB) > 0 {
		t.Error("who watched was told twice")
	}
}
