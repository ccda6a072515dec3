package pipe

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// readPacket is proto.Unmarshal, but for the frame, which stays where it is: a copy of
// 64 KiB costs more than all the rest. Fields that are not known are skipped.
func readPacket(b []byte) (*clusterpb.Packet, bool) {
	m := &clusterpb.Packet{}
	for len(b) > 0 {
		n, typ, size := protowire.ConsumeTag(b)
		if size < 0 || n > protowire.MaxValidNumber {
			return nil, false
		}
		b = b[size:]
		var number uint64
		var data []byte
		switch typ {
		case protowire.VarintType:
			number, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			data, size = protowire.ConsumeBytes(b)
		default:
			size = protowire.ConsumeFieldValue(n, typ, b)
		}
		if size < 0 || !setPacket(m, n, typ, number, data) {
			return nil, false
		}
		b = b[size:]
	}
	return m, true
}

// setPacket sets a field, and reports false for text that is none. A field of another
// type than it has is not known.
func setPacket(m *clusterpb.Packet, n protowire.Number, typ protowire.Type, number uint64, data []byte) bool {
	switch typ {
	case protowire.VarintType:
		switch n {
		case 3:
			m.Epoch = number
		case 4:
			m.To = number
		case 5:
			m.Seq = number
		case 7:
			m.Ack = number
		case 8:
			m.Limit = number
		case 9:
			m.Kind = uint32(number)
		case 11:
			m.Lane = number
		}
	case protowire.BytesType:
		switch n {
		case 1:
			m.Node = string(data)
			return utf8.Valid(data)
		case 2:
			m.Addr = string(data)
			return utf8.Valid(data)
		case 6:
			m.Frame = data
		case 10:
			m.Control = data
		}
	}
	return true
}
