package push

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// What is written is what was read, whatever was said; nothing panics.
func FuzzRead(f *testing.F) {
	add := func(m proto.Message) {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add(&clusterpb.Push{Data: []byte("text"), ThenClose: true, WithinMs: 7, Uncompressed: true})
	add(&clusterpb.Push{Event: &clusterpb.Push_Event{Event: "said", Id: "7", RetryMs: 3}, Policy: clusterpb.Push_CLOSE})
	add(&clusterpb.Push{Op: clusterpb.Push_PING, Policy: clusterpb.Push_LATEST, Key: &clusterpb.Push_Key{Text: "key"}})
	add(&clusterpb.Push{Op: clusterpb.Push_NOTHING, Policy: clusterpb.Push_LATEST, Key: &clusterpb.Push_Key{Type: clusterpb.Push_Key_INT8, Number: 1<<64 - 1}})
	add(&clusterpb.Push{WithinMs: 1<<63 - 1, Event: &clusterpb.Push_Event{RetryMs: 1<<63 - 1}})
	add(&clusterpb.Push{Data: []byte("t\xe8t"), Event: &clusterpb.Push_Event{}})
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &clusterpb.Push{}
		if proto.Unmarshal(b, m) != nil {
			return
		}
		first, err := Read(m)
		if err != nil {
			return
		}
		again, err := Write(first)
		if err != nil {
			return // it is no message: a channel refuses it too
		}
		second, err := Read(again)
		if err != nil {
			t.Fatalf("%v was written, which is %v", again, err)
		}
		if third, err := Write(second); err != nil || !proto.Equal(again.(proto.Message), third.(proto.Message)) {
			t.Fatalf("%v is %v the next time, %v", again, third, err)
		}
	})
}

// Each option that travels does, and Block is Reject.
func TestOptionsTravel(t *testing.T) {
	m, err := Write(&actors.Push{
		Message: actors.Event{Event: "said", ID: "7", Retry: time.Second, Data: []byte("text")},
		Options: []actors.SendOption{actors.Latest(int8(-1)), actors.ThenClose(), actors.Within(time.Microsecond), actors.Uncompressed()},
	})
	want := &clusterpb.Push{
		Data:   []byte("text"),
		Event:  &clusterpb.Push_Event{Event: "said", Id: "7", RetryMs: 1000},
		Policy: clusterpb.Push_LATEST, Key: &clusterpb.Push_Key{Type: clusterpb.Push_Key_INT8, Number: 1<<64 - 1},
		ThenClose: true, WithinMs: 1, Uncompressed: true,
	}
	if err != nil || !proto.Equal(m.(proto.Message), want) {
		t.Errorf("%v %v, want %v", m, err, want)
	}
	m, err = Write(&actors.Push{Options: []actors.SendOption{actors.Block(t.Context())}})
	if want := (&clusterpb.Push{Op: clusterpb.Push_NOTHING, Policy: clusterpb.Push_REJECT}); err != nil || !proto.Equal(m.(proto.Message), want) {
		t.Errorf("%v %v, want %v", m, err, want)
	}
}
