package pipe

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/troupe-actors/troupe/cluster/internal/push"
)

// Messages puts messages to actors into bytes and back. Protobuf messages go
// by their full name, as remote sends them: "actor.PoisonPill", Stop, Watch,
// Unwatch and Terminated are among them. *actors.Push and *actors.Close go as those of
// clusterpb. All else goes by the codec, named
// "codec:type", which no protobuf name can be.
//
// Its methods may be called by many goroutines.
type Messages struct {
	codec   Codec  // nil: protobuf alone
	prefix  string // the codec's name and a colon
	unknown atomic.Uint64
	last    atomic.Pointer[known] // what Decode had last: most often the next is of the same type
}

// known is a protobuf type by its name.
type known struct {
	name string
	typ  protoreflect.MessageType
	made reflect.Type // of the struct that is a message of it; nil: there is none, as of a dynamic type
}

func knownBy(name string) (*known, error) {
	t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		return nil, err
	}
	k := &known{name: name, typ: t}
	if pointer := reflect.TypeOf(t.Zero().Interface()); pointer.Kind() == reflect.Pointer {
		if m, ok := reflect.New(pointer.Elem()).Interface().(proto.Message); ok && m.ProtoReflect().Type() == t {
			k.made = pointer.Elem()
		}
	}
	return k, nil
}

// message is a new one.
func (k *known) message() proto.Message {
	if k.made != nil { // what New finds out anew each time
		return reflect.New(k.made).Interface().(proto.Message)
	}
	return k.typ.New().Interface()
}

// NewMessages makes Messages; codec may be nil.
func NewMessages(codec Codec) *Messages {
	s := &Messages{codec: codec}
	if codec != nil {
		s.prefix = codec.Name() + ":"
	}
	return s
}

// UnknownTypeError is a message whose type this node does not know.
type UnknownTypeError struct{ Type string }

func (e *UnknownTypeError) Error() string { return fmt.Sprintf("cluster: no type %q here", e.Type) }

// MessageError is a message that cannot be put into bytes, or back.
type MessageError struct {
	Type string // as Go or the wire names it
	Err  error
}

func (e *MessageError) Error() string { return fmt.Sprintf("cluster: message %s: %v", e.Type, e.Err) }

func (e *MessageError) Unwrap() error { return e.Err }

var errNoCodec = errors.New("neither protobuf nor is there a codec")

// Append appends a message's bytes to dst, and gives the name that Decode on
// the other node wants. On an error, a *MessageError, dst is as it was.
func (s *Messages) Append(dst []byte, message any) (out []byte, typeName string, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = &MessageError{fmt.Sprintf("%T", message), fmt.Errorf("panic: %v", cause)}
		}
		if err != nil {
			out, typeName = dst, ""
		}
	}()
	original := message
	if message, err = push.Write(message); err != nil {
		return nil, "", &MessageError{fmt.Sprintf("%T", original), err}
	}
	if own, ok := message.(remote.RootSerializable); ok {
		wire, err := own.Serialize()
		if err != nil {
			return nil, "", &MessageError{fmt.Sprintf("%T", message), err}
		}
		message = wire
	}
	if m, ok := message.(proto.Message); ok {
		out, err = proto.MarshalOptions{}.MarshalAppend(dst, m)
		if err != nil {
			return nil, "", &MessageError{fmt.Sprintf("%T", message), err}
		}
		return out, string(m.ProtoReflect().Descriptor().FullName()), nil
	}
	if s.codec == nil {
		return nil, "", &MessageError{fmt.Sprintf("%T", message), errNoCodec}
	}
	name, data, err := s.codec.Marshal(message)
	if err != nil {
		return nil, "", &MessageError{fmt.Sprintf("%T", message), err}
	}
	return append(dst, data...), s.prefix + name, nil
}

// Decode makes the message anew; nothing of data stays in it. A type that is
// not known here is an *UnknownTypeError and counted, bytes that cannot be read
// are a *MessageError. It never panics, whatever the bytes and the codec.
func (s *Messages) Decode(typeName string, data []byte) (message any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			message, err = nil, &MessageError{typeName, fmt.Errorf("panic: %v", cause)}
		}
		if err != nil {
			var unknown *UnknownTypeError
			if errors.As(err, &unknown) {
				s.unknown.Add(1)
			}
		}
	}()
	k := s.last.Load()
	if k == nil || k.name != typeName {
		if strings.Contains(typeName, ":") {
			return s.decodeOwn(typeName, data)
		}
		if k, err = knownBy(typeName); err != nil {
			return nil, &UnknownTypeError{typeName}
		}
		s.last.Store(k)
	}
	m := k.message()
	if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(data, m); err != nil { // it is new: no need to Reset it
		return nil, &MessageError{typeName, err}
	}
	if wire, ok := m.(remote.RootSerialized); ok {
		own, err := wire.Deserialize()
		if err != nil {
			return nil, &MessageError{typeName, err}
		}
		return own, nil
	}
	if message, err = push.Read(m); err != nil {
		return nil, &MessageError{typeName, err}
	}
	return message, nil
}

// decodeOwn is Decode for the codec's.
func (s *Messages) decodeOwn(typeName string, data []byte) (any, error) {
	name, ours := strings.CutPrefix(typeName, s.prefix)
	if !ours || s.codec == nil {
		return nil, &UnknownTypeError{typeName}
	}
	message, err := s.codec.Unmarshal(name, data)
	var unknown *UnknownTypeError
	if err != nil && !errors.As(err, &unknown) {
		err = &MessageError{typeName, err}
	}
	return message, err
}

// Unknown is how many messages were of a type that this node does not know.
func (s *Messages) Unknown() uint64 { return s.unknown.Load() }
