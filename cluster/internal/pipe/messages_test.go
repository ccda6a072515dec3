package pipe

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const path = "github.com/troupe-actors/troupe/cluster/internal/pipe"

type said struct{ Who, What string }

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	s := NewMessages(JSON(said{}, &said{}))
	watcher := actor.NewPID("a:1", "$1")
	for typeName, m := range map[string]any{
		"google.protobuf.StringValue": wrapperspb.String("hi"),
		"actor.PoisonPill":            &actor.PoisonPill{},
		"actor.Stop":                  &actor.Stop{},
		"actor.Watch":                 &actor.Watch{Watcher: watcher},
		"actor.Unwatch":               &actor.Unwatch{Watcher: watcher},
		"actor.Terminated":            &actor.Terminated{Who: watcher, Why: actor.TerminatedReason_NotFound},
		"json:" + path + ".said":      said{"ann", "hi"},
		"json:*" + path + ".said":     &said{"ann", "hi"},
	} {
		before := []byte("before")
		out, name, err := s.Append(before, m)
		if err != nil || name != typeName || !bytes.HasPrefix(out, before) {
			t.Errorf("%s: %q %v", typeName, name, err)
			continue
		}
		got, err := s.Decode(name, out[len(before):])
		want, isProto := m.(proto.Message)
		if err != nil || isProto && !proto.Equal(want, got.(proto.Message)) || !isProto && !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %v, %v", typeName, got, err)
		}
	}
}

func TestATypeThatIsNotKnownIsATypedErrorAndCounted(t *testing.T) {
	s := NewMessages(JSON(said{}))
	for i, name := range []string{"no.Such", "", "actor.TerminatedReason", "json:pipe.other", "other:pipe.said", ":"} {
		_, err := s.Decode(name, []byte("{}"))
		var unknown *UnknownTypeError
		if !errors.As(err, &unknown) || unknown.Type != name || s.Unknown() != uint64(i+1) {
			t.Errorf("%q: %v, %d", name, err, s.Unknown())
		}
	}
	if _, err := NewMessages(nil).Decode("json:"+path+".said", nil); err == nil {
		t.Error("read without a codec")
	}
}

// faulty is an application's codec with a bug.
type faulty struct{ Codec }

func (faulty) Name() string                          { return "faulty" }
func (faulty) Marshal(any) (string, []byte, error)   { panic("a bug") }
func (faulty) Unmarshal(string, []byte) (any, error) { panic("a bug") }

func TestAMessageThatCannotBeWrittenOrReadIsATypedError(t *testing.T) {
	s := NewMessages(JSON(said{}))
	for name, try := range map[string]func() error{
		"no type of the codec's": func() error { _, _, err := s.Append(nil, 1); return err },
		"nil":                    func() error { _, _, err := s.Append(nil, nil); return err },
		"no codec":               func() error { _, _, err := NewMessages(nil).Append(nil, said{}); return err },
		"bad protobuf":           func() error { _, err := s.Decode("actor.PID", []byte{0xff}); return err },
		"bad JSON":               func() error { _, err := s.Decode("json:"+path+".said", []byte("{")); return err },
		"a codec that panics":    func() error { _, _, err := NewMessages(faulty{}).Append(nil, 1); return err },
		"and when it reads":      func() error { _, err := NewMessages(faulty{}).Decode("faulty:x", nil); return err },
	} {
		var bad *MessageError
		if err := try(); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out, _, err := s.Append([]byte("before"), 1); err == nil || string(out) != "before" {
		t.Errorf("%q stays of what was before", out)
	}
}

// A type that no Go code was generated for is made as its registry says.
func TestDynamicTypesAreRead(t *testing.T) {
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("dynamic.proto"), Package: proto.String("troupe.test"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Dynamic"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("text"), Number: proto.Int32(1), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	typ := dynamicpb.NewMessageType(file.Messages().Get(0))
	if _, err := protoregistry.GlobalTypes.FindMessageByName(typ.Descriptor().FullName()); err != nil {
		if err := protoregistry.GlobalTypes.RegisterMessage(typ); err != nil {
			t.Fatal(err)
		}
	}
	m := dynamicpb.NewMessage(typ.Descriptor())
	m.Set(typ.Descriptor().Fields().ByName("text"), protoreflect.ValueOfString("hello"))
	s := NewMessages(nil)
	b, name, err := s.Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := s.Decode(name, b)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := got.(*dynamicpb.Message); !ok || string(marshal(t, got)) != string(b) {
			t.Errorf("got %v, want %v", got, m)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("actor.Watch", []byte{10, 0})
	f.Add("json:"+path+".said", []byte(`{"Who":"ann"}`))
	f.Add("remote.MessageBatch", []byte{26, 2, 8, 1})
	s := NewMessages(JSON(said{}))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		m, err := s.Decode(name, data)
		if err != nil {
			return
		}
		if _, again, err := s.Append(nil, m); err != nil || again != name {
			t.Errorf("%q comes back as %q: %v", name, again, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	s := NewMessages(nil)
	m := wrapperspb.Bytes(make([]byte, 128))
	buffer := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = s.Append(buffer, m)
	}
}

func BenchmarkDecode(b *testing.B) {
	s := NewMessages(nil)
	data, name, _ := s.Append(nil, wrapperspb.Bytes(make([]byte, 128)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Decode(name, data)
	}
}
