package pipe

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// The fields of remote's messages, and of a packet, that lie around a frame.
const (
	messageBatch   protowire.Number = 1
	batchEnvelopes protowire.Number = 3
	envelopeData   protowire.Number = 2
	packetFrame    protowire.Number = 6
)

// parcelBytes is how large a frame is at least to go without a copy, and so without the
// messages around it.
const parcelBytes = 4 << 10

// parcel is remote's message of one packet, whose frame goes to the connection as it is.
type parcel struct {
	head  []byte // all before the frame, which is last in everything
	frame []byte
}

// goesAlone says whether a delivery is for a parcel.
func goesAlone(d *delivery) bool {
	m, ok := d.message.(*clusterpb.Packet)
	return ok && len(m.Frame) >= parcelBytes && d.sender != nil && d.header == nil
}

func newParcel(d *delivery) (*parcel, error) {
	m := d.message.(*clusterpb.Packet)
	frame := m.Frame
	m.Frame = nil
	packet, err := proto.Marshal(m)
	m.Frame = frame
	if err != nil {
		return nil, err
	}
	envelope, err := proto.Marshal(&remote.MessageEnvelope{Sender: 1})
	if err != nil {
		return nil, err
	}
	batch, err := proto.Marshal(&remote.MessageBatch{
		TypeNames: []string{packetName}, Targets: []*actor.PID{d.target}, Senders: []*actor.PID{d.sender},
	})
	if err != nil {
		return nil, err
	}
	rest := len(frame)
	packet = append(packet, before(packetFrame, nil, rest)...)
	envelope = append(envelope, before(envelopeData, packet, rest)...)
	batch = append(batch, before(batchEnvelopes, envelope, rest)...)
	return &parcel{before(messageBatch, batch, rest), frame}, nil
}

// before is the beginning of a field: so much more of it follows.
func before(field protowire.Number, begin []byte, more int) []byte {
	b := protowire.AppendTag(nil, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(begin)+more))
	return append(b, begin...)
}

// parcels is gRPC's codec for protobuf, and for parcels and what comes.
type parcels struct{ encoding.CodecV2 }

func newParcels() parcels { return parcels{encoding.GetCodecV2(grpcproto.Name)} }

func (c parcels) Marshal(v any) (mem.BufferSlice, error) {
	if p, ok := v.(*parcel); ok {
		return mem.BufferSlice{mem.SliceBuffer(p.head), mem.SliceBuffer(p.frame)}, nil
	}
	return c.CodecV2.Marshal(v)
}

func (c parcels) Unmarshal(data mem.BufferSlice, v any) error {
	if in, ok := v.(*incoming); ok {
		return in.read(data)
	}
	return c.CodecV2.Unmarshal(data, v)
}

// incoming is what a peer's stream has brought last.
type incoming struct {
	message *remote.RemoteMessage
	memory  []byte // what is not copied of it lies here, until the next
}

func (in *incoming) read(data mem.BufferSlice) (err error) {
	if cap(in.memory) > keptBytes {
		in.memory = nil
	}
	n := data.Len()
	in.memory = slices.Grow(in.memory[:0], n)[:n]
	data.CopyTo(in.memory)
	in.message, err = readMessage(in.memory)
	return err
}

// readMessage is proto.Unmarshal, but for the bytes of the message that is last, which
// stay where they are: that is a parcel's packet.
func readMessage(b []byte) (*remote.RemoteMessage, error) {
	m := &remote.RemoteMessage{}
	if none, batch, ok := cutLast(b, messageBatch); ok && len(none) == 0 {
		if others, envelope, ok := cutLast(batch, batchEnvelopes); ok {
			if fields, data, ok := cutLast(envelope, envelopeData); ok {
				b, e := &remote.MessageBatch{}, &remote.MessageEnvelope{}
				m.MessageType = &remote.RemoteMessage_MessageBatch{MessageBatch: b}
				if err := proto.Unmarshal(others, b); err != nil {
					return nil, err
				}
				if err := proto.Unmarshal(fields, e); err != nil {
					return nil, err
				}
				e.MessageData = data
				b.Envelopes = append(b.Envelopes, e)
				return m, nil
			}
		}
	}
	return m, proto.Unmarshal(b, m)
}

// cutLast cuts a message's last field off, if it is the one asked for.
func cutLast(b []byte, field protowire.Number) (others, data []byte, ok bool) {
	for at := 0; at < len(b); {
		n, typ, size := protowire.ConsumeField(b[at:])
		switch {
		case size < 0:
			return nil, nil, false
		case at+size < len(b):
			at += size
		case n != field || typ != protowire.BytesType:
			return nil, nil, false
		default:
			_, _, head := protowire.ConsumeTag(b[at:])
			data, _ = protowire.ConsumeBytes(b[at+head:])
			return b[:at], data, true
		}
	}
	return nil, nil, false
}
