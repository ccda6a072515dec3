package pipe

import (
	"errors"
	"io"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

var packetName = string((&clusterpb.Packet{}).ProtoReflect().Descriptor().FullName())

// service is what a node serves: remote's protocol, without the calls that
// list its processes.
type service struct {
	remote.UnimplementedRemotingServer
	p *Pipe
}

// Receive reads one peer's stream, on a goroutine of its own.
func (s *service) Receive(stream remote.Remoting_ReceiveServer) error {
	var from, system string
	var in incoming
	for {
		err := stream.RecvMsg(&in)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		m := in.message
		if c := m.GetConnectRequest(); c != nil {
			from, system = c.GetServerConnection().GetAddress(), c.GetServerConnection().GetSystemId()
			err := stream.Send(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectResponse{
				ConnectResponse: &remote.ConnectResponse{MemberId: s.p.system.ID},
			}})
			if err != nil {
				return err
			}
		}
		if b := m.GetMessageBatch(); b != nil {
			for _, target := range b.Targets {
				// What came here is for here, by whatever name the sender knows us.
				target.Address = s.p.Address()
			}
			for _, e := range b.Envelopes {
				if !s.deliver(from, system, b, e) {
					s.p.refused.Add(1)
				}
			}
		}
	}
}

// deliver says whether the message could be read. One that could not, of a
// type that this node does not know say, does not cost the others.
func (s *service) deliver(from, system string, b *remote.MessageBatch, e *remote.MessageEnvelope) bool {
	if !within(e.TypeId, len(b.TypeNames)) || !within(e.Target, len(b.Targets)) || !within(e.Sender, len(b.Senders)+1) {
		return false
	}
	target := b.Targets[e.Target]
	if target.Id == hubID && b.TypeNames[e.TypeId] == packetName && e.SerializerId == 0 {
		m, ok := readPacket(e.MessageData)
		if ok {
			s.p.receive(from, m)
		}
		return ok
	}
	message, ok := unwire(b.TypeNames[e.TypeId], e.MessageData, e.SerializerId)
	if !ok {
		return false
	}
	target = withRequest(target, e.TargetRequestId)
	switch m := message.(type) {
	case *actor.Terminated:
		if m.Who == nil {
			return false
		}
		s.p.terminated(system, target, m)
	case *actor.Watch:
		return m.Watcher != nil && s.system(target, m)
	case *actor.Unwatch:
		return m.Watcher != nil && s.system(target, m)
	case actor.SystemMessage:
		return s.system(target, m)
	default:
		if e.Sender == 0 && e.MessageHeader == nil {
			s.p.system.Root.Send(target, message)
			break
		}
		envelope := &actor.MessageEnvelope{Message: message, Header: e.MessageHeader.GetHeaderData()}
		if e.Sender > 0 {
			envelope.Sender = withRequest(b.Senders[e.Sender-1], e.SenderRequestId)
		}
		s.p.system.Root.Send(target, envelope)
	}
	return true
}

func (s *service) system(target *actor.PID, m any) bool {
	to, _ := s.p.system.ProcessRegistry.GetLocal(target.Id)
	to.SendSystemMessage(target, m)
	return true
}

// terminated tells a local watcher that an actor of that system has ended: once, and not if
// its node was lost meanwhile, or a Router watches it now.
func (p *Pipe) terminated(system string, watcher *actor.PID, m *actor.Terminated) {
	if !p.carrier.answered(watcher, m.Who) && !p.carrier.answeredBy(system, watcher, m.Who) {
		return
	}
	if to, ok := p.system.ProcessRegistry.GetLocal(watcher.Id); ok {
		to.SendSystemMessage(watcher, m)
	}
}

// unwire makes a message that remote has written.
func unwire(typeName string, data []byte, serializer int32) (any, bool) {
	switch serializer {
	case 0:
		if _, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(typeName)); err != nil {
			return nil, false
		}
	case 1: // JSON; an unknown type is a *remote.JsonMessage
	default:
		return nil, false
	}
	m, err := remote.Deserialize(data, typeName, serializer)
	if err != nil {
		return nil, false
	}
	if wire, ok := m.(remote.RootSerialized); ok {
		own, err := wire.Deserialize()
		return own, err == nil
	}
	return m, true
}

// withRequest copies a PID of a batch's table that is not exactly the one meant.
func withRequest(pid *actor.PID, request uint32) *actor.PID {
	if request == 0 {
		return pid
	}
	return &actor.PID{Address: pid.Address, Id: pid.Id, RequestId: request}
}

func within(i int32, n int) bool { return i >= 0 && int(i) < n }

// guard ends a stream whose reader panics, and nothing else.
func (p *Pipe) guard(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			p.panics.Add(1)
			p.system.Logger().Error("cluster: a peer's stream", "panic", cause, "stack", string(debug.Stack()))
			err = status.Error(codes.InvalidArgument, "a message that cannot be read")
		}
	}()
	return handler(srv, stream)
}
