package cluster

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// The fields of clusterpb.Record, Tell and Cast that are written and read here without
// the generated code, as they are what most records are.
const (
	recordTell = 1
	recordCast = 3

	tellID      = 1
	tellRequest = 2
	tellSender  = 3
	tellType    = 4
	tellMessage = 5
	tellHeader  = 7

	castAudience = 1
	castName     = 2
	castData     = 3
)

// buffers are for records while they are made.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// mostKept is the largest buffer that is kept.
const mostKept = 64 << 10

func giveBack(b *[]byte) {
	if cap(*b) <= mostKept {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

func sizeString(s string) int { return 1 + protowire.SizeBytes(len(s)) }

func appendString(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

// headRoom is left in front of a message for what a Tell says before it: so the message
// is encoded where the record is.
const headRoom = 256

// tellBehind makes the Record of a Tell of the message that is in b behind headRoom: it
// lies in b, unless it has more to say than that before the message.
func tellBehind(b *[]byte, to *actor.PID, sender *clusterpb.Address, header actor.ReadonlyMessageHeader, typ string) []byte {
	message := len(*b) - headRoom
	size := sizeString(to.Id) + sizeString(typ) + 1 + protowire.SizeBytes(message)
	if to.RequestId != 0 {
		size += 1 + protowire.SizeVarint(uint64(to.RequestId))
	}
	from := 0
	if sender != nil {
		from = proto.Size(sender)
		size += 1 + protowire.SizeBytes(from)
	}
	if header != nil {
		before := len(*b)
		*b = appendPairs(*b, header)
		size += len(*b) - before
	}
	head := protowire.AppendTag((*b)[:0:headRoom], recordTell, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(size))
	head = appendString(head, tellID, to.Id)
	if to.RequestId != 0 {
		head = protowire.AppendTag(head, tellRequest, protowire.VarintType)
		head = protowire.AppendVarint(head, uint64(to.RequestId))
	}
	if sender != nil {
		head = protowire.AppendTag(head, tellSender, protowire.BytesType)
		head = protowire.AppendVarint(head, uint64(from))
		head, _ = proto.MarshalOptions{}.MarshalAppend(head, sender) // strings of PIDs; what is no UTF-8 the other end refuses
	}
	head = appendString(head, tellType, typ)
	head = protowire.AppendTag(head, tellMessage, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(message))
	begin := headRoom - len(head)
	if begin < 0 {
		return append(head, (*b)[headRoom:]...)
	}
	copy((*b)[begin:], head)
	return (*b)[begin:]
}

func appendPairs(b []byte, header actor.ReadonlyMessageHeader) []byte {
	for _, k := range header.Keys() {
		v := header.Get(k)
		b = protowire.AppendTag(b, tellHeader, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(sizeString(k)+sizeString(v)))
		b = appendString(appendString(b, 1, k), 2, v)
	}
	return b
}

// appendCast writes a Record of a Cast.
func appendCast(b []byte, to actors.Audience, data []byte) []byte {
	audience := audienceOf(to.Kind)
	size := 1 + protowire.SizeVarint(audience) + sizeString(to.Name) + 1 + protowire.SizeBytes(len(data))
	b = protowire.AppendTag(b, recordCast, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = protowire.AppendTag(b, castAudience, protowire.VarintType)
	b = protowire.AppendVarint(b, audience)
	b = appendString(b, castName, to.Name)
	b = protowire.AppendTag(b, castData, protowire.BytesType)
	return protowire.AppendBytes(b, data)
}

func audienceOf(k actors.AudienceKind) uint64 {
	switch k {
	case actors.ToTopic:
		return uint64(clusterpb.Cast_TOPIC)
	case actors.ToUID:
		return uint64(clusterpb.Cast_UID)
	}
	return uint64(clusterpb.Cast_ALL)
}

func kindOf(a clusterpb.Cast_Audience) (actors.AudienceKind, bool) {
	switch a {
	case clusterpb.Cast_TOPIC:
		return actors.ToTopic, true
	case clusterpb.Cast_UID:
		return actors.ToUID, true
	case clusterpb.Cast_ALL:
		return actors.ToAll, true
	}
	return 0, false
}

// only is the content of a record that has one field, which is the given one.
func only(record []byte, field protowire.Number) ([]byte, bool) {
	n, typ, size := protowire.ConsumeTag(record)
	if size < 0 || n != field || typ != protowire.BytesType {
		return nil, false
	}
	b, rest := protowire.ConsumeBytes(record[size:])
	return b, rest >= 0 && size+rest == len(record)
}

// fields calls f with each field of a message; f tells whether to go on. It reports
// whether the message was read to its end.
func fields(b []byte, f func(n protowire.Number, number uint64, data []byte) bool) bool {
	for len(b) > 0 {
		n, number, data, size := field(b)
		if size < 0 || !f(n, number, data) {
			return false
		}
		b = b[size:]
	}
	return true
}

// field is the first field of a message, with what it is if it is a number or bytes; the
// size is less than 0 if it is none.
func field(b []byte) (n protowire.Number, number uint64, data []byte, size int) {
	n, typ, head := protowire.ConsumeTag(b)
	if head < 0 {
		return 0, 0, nil, head
	}
	switch b = b[head:]; typ {
	case protowire.VarintType:
		number, size = protowire.ConsumeVarint(b)
	case protowire.BytesType:
		data, size = protowire.ConsumeBytes(b)
	default:
		size = protowire.ConsumeFieldValue(n, typ, b)
	}
	if size < 0 {
		return 0, 0, nil, size
	}
	return n, number, data, head + size
}
