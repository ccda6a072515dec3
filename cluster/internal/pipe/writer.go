package pipe

import (
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/protobuf/proto"
)

const (
	// A batch ends with the message that takes it over either.
	batchMessages = 512
	batchBytes    = 512 << 10
	// keptBytes is how large the buffer of a batch may be to be used again.
	keptBytes = 2 * batchBytes
)

type pidKey struct{ address, id string }

// writer makes remote's batches. What it gives is valid until the next call:
// gRPC has its own bytes by then.
type writer struct {
	bytes   []byte
	types   map[string]int32
	targets map[pidKey]int32
	senders map[pidKey]int32
}

// next puts the first n of the queue into one message, a *remote.RemoteMessage or a
// *parcel; nil if none of them could be written. What cannot be is refused, and its
// message set to nil.
func (w *writer) next(queue []delivery, l *link) (_ any, n int) {
	if d := &queue[0]; goesAlone(d) {
		p, err := newParcel(d)
		if err != nil {
			w.refuse(d, err, l)
			return nil, 1
		}
		return p, 1
	}
	if w.types == nil {
		w.types, w.targets, w.senders = make(map[string]int32), make(map[pidKey]int32), make(map[pidKey]int32)
	}
	clear(w.types)
	clear(w.targets)
	clear(w.senders)
	if w.bytes = w.bytes[:0]; cap(w.bytes) > keptBytes {
		w.bytes = nil
	}

	b := &remote.MessageBatch{}
	for n < len(queue) && n < batchMessages && len(w.bytes) < batchBytes {
		d := &queue[n]
		if goesAlone(d) {
			break
		}
		n++
		m, err := wireForm(d.message)
		if err == nil {
			begin := len(w.bytes)
			w.bytes, err = proto.MarshalOptions{}.MarshalAppend(w.bytes, m)
			if err == nil && len(w.bytes)-begin > l.wire.maximum {
				err = ErrTooLarge
			}
			if err == nil {
				// A later append may move the buffer; these bytes stay as they are.
				b.Envelopes = append(b.Envelopes, w.envelope(b, d, string(m.ProtoReflect().Descriptor().FullName()), w.bytes[begin:len(w.bytes):len(w.bytes)]))
				continue
			}
			w.bytes = w.bytes[:begin]
		}
		w.refuse(d, err, l)
	}
	if len(b.Envelopes) == 0 {
		return nil, n
	}
	return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: b}}, n
}

func (w *writer) refuse(d *delivery, err error, l *link) {
	if !errors.Is(err, ErrTooLarge) {
		err = fmt.Errorf("%w: %w", ErrUnsendable, err)
	}
	l.wire.p.unsendable.Add(1)
	l.refuse(*d, err)
	d.message = nil
}

func (w *writer) envelope(b *remote.MessageBatch, d *delivery, typeName string, data []byte) *remote.MessageEnvelope {
	e := &remote.MessageEnvelope{MessageData: data, TargetRequestId: d.target.RequestId}
	var ok bool
	if e.TypeId, ok = w.types[typeName]; !ok {
		e.TypeId = int32(len(b.TypeNames))
		w.types[typeName] = e.TypeId
		b.TypeNames = append(b.TypeNames, typeName)
	}
	e.Target, b.Targets = index(w.targets, b.Targets, d.target)
	if d.sender != nil {
		e.Sender, b.Senders = index(w.senders, b.Senders, d.sender)
		e.Sender++ // 0 is none
		e.SenderRequestId = d.sender.RequestId
	}
	if d.header != nil && d.header.Length() > 0 {
		e.MessageHeader = &remote.MessageHeader{HeaderData: d.header.ToMap()}
	}
	return e
}

func index(known map[pidKey]int32, all []*actor.PID, pid *actor.PID) (int32, []*actor.PID) {
	key := pidKey{pid.Address, pid.Id}
	i, ok := known[key]
	if !ok {
		i = int32(len(all))
		known[key] = i
		all = append(all, &actor.PID{Address: pid.Address, Id: pid.Id})
	}
	return i, all
}

// wireForm is what stands for a message outside this process.
func wireForm(message any) (proto.Message, error) {
	if own, ok := message.(remote.RootSerializable); ok {
		wire, err := own.Serialize()
		if err != nil {
			return nil, err
		}
		message = wire
	}
	if m, ok := message.(proto.Message); ok {
		return m, nil
	}
	return nil, errNoCodec
}
