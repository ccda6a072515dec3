// Package push puts the runtime's own messages to channels, actors.Push and actors.Close,
// into protobuf and back.
package push

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/transport"
)

// Write is the protobuf form of a *actors.Push or *actors.Close, and any other message
// itself. The errors are those of actors.Push.Portable and of the packets in it.
func Write(m any) (any, error) {
	switch m := m.(type) {
	case *actors.Push:
		return write(m)
	case *actors.Close:
		return &clusterpb.Close{Code: uint32(m.Code), Reason: m.Reason}, nil
	}
	return m, nil
}

// Read is the *actors.Push or *actors.Close that a protobuf form stands for, and any other
// message itself. What is in the form the channel checks.
func Read(m any) (any, error) {
	switch m := m.(type) {
	case *clusterpb.Push:
		return read(m)
	case *clusterpb.Close:
		if m.Code > math.MaxUint16 {
			return nil, &actors.ArgumentError{Argument: "Close.code", Value: m.Code, Want: "a code of RFC 6455"}
		}
		return &actors.Close{Code: uint16(m.Code), Reason: m.Reason}, nil
	}
	return m, nil
}

// The first byte of a packet, as Packet.AppendBinary writes it.
const (
	packetOp    byte = 0x03
	packetPlain byte = 0x04
	packetEvent byte = 0x08
)

func write(m *actors.Push) (*clusterpb.Push, error) {
	p, err := m.Portable()
	if err != nil {
		return nil, err
	}
	w := &clusterpb.Push{Op: clusterpb.Push_NOTHING, ThenClose: p.ThenClose}
	if p.Within > 0 {
		w.WithinMs = int64((p.Within-1)/time.Millisecond) + 1 // rounded up
	}
	policy, err := p.Policy.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	w.Policy = clusterpb.Push_Policy(policy[0])
	if w.Policy == clusterpb.Push_LATEST {
		w.Key = writtenKey(policy[1:])
	}
	if p.Packet == nil {
		return w, nil
	}
	b, err := p.Packet.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	w.Op, w.Uncompressed, w.Data = clusterpb.Push_Op(b[0]&packetOp), b[0]&packetPlain != 0, b[1:]
	if b[0]&packetEvent != 0 {
		size, n := binary.Uvarint(w.Data)
		fields := string(w.Data[n : n+int(size)])
		w.Data = w.Data[n+int(size):]
		w.Event = writtenEvent(fields)
	}
	return w, nil
}

// writtenEvent makes a message of the lines of an event.
func writtenEvent(lines string) *clusterpb.Push_Event {
	e := &clusterpb.Push_Event{}
	for line := range strings.Lines(lines) {
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "event":
			e.Event = value
		case "id":
			e.Id = value
		case "retry":
			e.RetryMs, _ = strconv.ParseInt(value, 10, 64) // digits, as they were written
		}
	}
	return e
}

// writtenKey makes a message of a key as a policy has it.
func writtenKey(b []byte) *clusterpb.Push_Key {
	k := &clusterpb.Push_Key{Type: clusterpb.Push_Key_Type(b[0])}
	number, n := binary.Uvarint(b[1:])
	if k.Type == clusterpb.Push_Key_STRING {
		k.Text = string(b[1+n:])
	} else {
		k.Number = number
	}
	return k
}

func read(m *clusterpb.Push) (*actors.Push, error) {
	policy, err := policyOf(m)
	if err != nil {
		return nil, err
	}
	p := &actors.Push{Options: []actors.SendOption{actors.WithPolicy(policy)}}
	switch m.Op {
	case clusterpb.Push_TEXT:
		p.Message = actors.Message{Op: transport.Text, Data: m.Data}
		if e := m.Event; e != nil {
			p.Message = actors.Event{Event: e.Event, ID: e.Id, Retry: duration(e.RetryMs), Data: m.Data} // below 0 the channel refuses it
		}
	case clusterpb.Push_BINARY:
		p.Message = actors.Binary(m.Data)
	case clusterpb.Push_PING:
		p.Message = actors.Ping{Data: m.Data}
	case clusterpb.Push_PONG:
		p.Message = actors.Pong{Data: m.Data}
	case clusterpb.Push_NOTHING:
	default: // of a later version
		return nil, &actors.ArgumentError{Argument: "Push.op", Value: m.Op, Want: "one that this node knows"}
	}
	if m.ThenClose {
		p.Options = append(p.Options, actors.ThenClose())
	}
	if m.Uncompressed {
		p.Options = append(p.Options, actors.Uncompressed())
	}
	if m.WithinMs != 0 {
		p.Options = append(p.Options, actors.Within(duration(m.WithinMs))) // below 0 the channel refuses it
	}
	return p, nil
}

// duration is so many milliseconds, or the longest or shortest that there is.
func duration(ms int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	switch {
	case ms > most:
		return math.MaxInt64
	case ms < -most:
		return math.MinInt64
	}
	return time.Duration(ms) * time.Millisecond
}

// policyOf is a push's policy, with its key.
func policyOf(m *clusterpb.Push) (mailbox.Policy, error) {
	if m.Policy < 0 || m.Policy > math.MaxUint8 {
		return mailbox.Policy{}, fmt.Errorf("%w: %d", mailbox.ErrPolicy, m.Policy)
	}
	b := []byte{byte(m.Policy)}
	if m.Policy == clusterpb.Push_LATEST {
		k := m.GetKey()
		if k == nil || k.Type < 0 || k.Type > math.MaxUint8 {
			return mailbox.Policy{}, fmt.Errorf("%w: no key", mailbox.ErrPolicy)
		}
		b = append(b, byte(k.Type))
		if k.Type == clusterpb.Push_Key_STRING {
			b = append(binary.AppendUvarint(b, uint64(len(k.Text))), k.Text...)
		} else {
			b = binary.AppendUvarint(b, k.Number)
		}
	}
	policy, _, err := mailbox.ParsePolicy(b)
	return policy, err
}
