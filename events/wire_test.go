package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/cbor"
	"github.com/troupe-actors/troupe/events/msgpack"
	"github.com/troupe-actors/troupe/events/protocol"
)

// sender is a node whose broadcasts go where the test brings them.
type sender struct {
	*events.Server
	mu   sync.Mutex // guards what follows
	sent []byte     // the last that was to be relayed
}

func (*sender) Begin(*actor.ActorSystem) error { return nil }
func (*sender) Join(*actors.Runtime) error     { return nil }
func (*sender) Draining()                      {}
func (*sender) Leave(context.Context) error    { return nil }
func (*sender) Changed(actors.Audience)        {}
func (*sender) Opened(*actors.Channel)         {}
func (*sender) Ended(*actors.Channel)          {}

func (*sender) Announce(actors.Set, string, bool)                                   {}
func (*sender) Holders(actors.Set, string) []string                                 { return nil }
func (*sender) Name() string                                                        { return "sender" }
func (*sender) Others() []string                                                    { return nil }
func (*sender) Meet(func(context.Context, string))                                  {}
func (*sender) Follow(actors.Set, func(string, bool, bool))                         {}
func (*sender) Ask(context.Context, string, string, []byte) ([]byte, error)         { return nil, nil }
func (*sender) Serve(string, func(context.Context, string, []byte) ([]byte, error)) {}

func (*sender) Message(m any) (any, error) { return m, nil }

func (s *sender) Relay(_ actors.Audience, encode func() ([]byte, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	s.sent, err = encode()
	return err
}

// elsewhere is a server on another node, with these codecs.
func elsewhere(t testing.TB, name string, codecs ...events.Codec) *sender {
	t.Helper()
	s := &sender{}
	rt, err := actors.Start(actors.Config{Cluster: s, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Stop(context.Background()) })
	s.Server, err = events.New(rt, events.Handlers{}, events.Options{Codecs: codecs, Channel: actors.Options{Name: name}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// says has the sender publish, and the server of h hear it.
func (s *sender) says(h *venue, name string, data any, options ...events.SendOption) {
	h.Helper()
	if err := s.Publish("t", name, data, options...); err != nil {
		h.Fatal(err)
	}
	if err := h.rt.Deliver(actors.Audience{Kind: actors.ToAll}, s.sent); err != nil {
		h.Fatal(err)
	}
}

// What is said on one node is heard on another in each session's codec, as it would be
// there, also if the nodes have not the same codecs.
func TestWhatIsSaidIsHeardOnOtherNodesInEveryCodec(t *testing.T) {
	same := elsewhere(t, "", codecs[1:]...)
	turned := elsewhere(t, "", cbor.Codec{}, other{}, msgpack.Codec{})
	poor := elsewhere(t, "")
	h := openNode(t, events.Options{Codecs: codecs[1:]})
	for _, codec := range codecs {
		_, text := codec.(jsonData)
		c := h.join(events.WebSocket, codec.Subprotocol())
		for _, from := range []*sender{same, turned, poor} {
			for _, options := range [][]events.SendOption{nil, {events.Now(), actors.Uncompressed()}} {
				from.says(h, "full", full(), options...)
				m := c.hear()
				var back parcel
				switch err := codec.Decode(m.Data, &back); {
				case string(m.Event) != "full" || m.text != text:
					t.Errorf("%s: %v", codec.Subprotocol(), m)
				case from == poor && !text:
					// Only what JSON says of it: bytes are text there, and so are keys that are
					// numbers.
				case err != nil || !reflect.DeepEqual(back.utc(), full()):
					t.Errorf("%s: %v: %+v: %v", codec.Subprotocol(), m, back, err)
				}
				from.says(h, "bytes", []byte{0, 0xff}, options...)
				var b []byte
				if m := c.hear(); text && (m.text || string(m.Data) != "\x00\xff") {
					t.Errorf("%s: %v", codec.Subprotocol(), m)
				} else if err := codec.Decode(m.Data, &b); !text && (err != nil || string(b) != "\x00\xff") {
					t.Errorf("%s: %v: %q, %v", codec.Subprotocol(), m, b, err)
				}
				from.says(h, "nothing", nil, options...)
				if m := c.hear(); string(m.Event) != "nothing" || len(m.Data) > 0 {
					t.Errorf("%s: %v", codec.Subprotocol(), m)
				}
			}
		}
	}
}

// A form that the sender has not made says the same as JSON's, with its numbers.
func TestAFormIsMadeOfJSONs(t *testing.T) {
	type doc struct {
		Name  string         `json:"name"`
		Large int64          `json:"large"`
		Most  uint64         `json:"most"`
		Real  float64        `json:"real"`
		None  *int           `json:"none"`
		List  []any          `json:"list"`
		Map   map[string]int `json:"map"`
		Yes   bool           `json:"yes"`
	}
	want := doc{"Grüße", -1 << 63, 1<<64 - 1, 0.5, nil, []any{"a", true}, map[string]int{"x": 1 << 30}, true}
	poor := elsewhere(t, "")
	h := openNode(t, events.Options{Codecs: codecs[1:]})
	for _, codec := range codecs[1:] {
		c := h.join(events.WebSocket, codec.Subprotocol())
		poor.says(h, "doc", want)
		var got doc
		if m := c.hear(); m.text || codec.Decode(m.Data, &got) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v: %+v", codec.Subprotocol(), m, got)
		}
	}
}

// other is a codec that only some nodes have.
type other struct{}

func (other) Subprotocol() string             { return "troupe.v1.other" }
func (other) Encode(any) ([]byte, error)      { return []byte("whatever"), nil }
func (other) Decode(data []byte, v any) error { return errors.New("no") }

// openNode is open on a node.
func openNode(t *testing.T, o events.Options) *venue {
	t.Helper()
	return openOn(t, actors.Config{Cluster: &sender{}}, events.Handlers{}, o)
}

func TestWireIsTheServers(t *testing.T) {
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Stop(context.Background())
	var wire actors.Wire = struct{ actors.Wire }{}
	_, err = events.New(rt, events.Handlers{}, events.Options{Channel: actors.Options{Wire: wire}})
	if bad := new(events.ConfigError); !errors.As(err, &bad) || bad.Field != "Channel.Wire" {
		t.Error(err)
	}
}

// What a roster says stays on its node: its numbers would mean nothing on another.
func TestARosterStaysOnItsNode(t *testing.T) {
	s := &sender{}
	h := openOn(t, actors.Config{Cluster: s}, events.Handlers{}, events.Options{})
	r, err := h.Roster("t", "who", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	c := h.join(events.WebSocket, protocol.JSON)
	if _, err := r.Join(c.session()); err != nil {
		t.Fatal(err)
	}
	if m := c.hear(); string(m.Event) != "who" {
		t.Error(m)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent != nil {
		t.Errorf("%q was to be relayed", s.sent)
	}
}

func FuzzWire(f *testing.F) {
	from := elsewhere(f, "from", msgpack.Codec{})
	to := elsewhere(f, "from", cbor.Codec{}, msgpack.Codec{})
	for _, data := range []any{nil, 1, "text", []byte("bytes"), json.RawMessage(`{"a":[1,null,1e9]}`)} {
		if err := from.Publish("t", "event", data, events.Now()); err != nil {
			f.Fatal(err)
		}
		f.Add(from.sent)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := to.Runtime().Deliver(actors.Audience{Kind: actors.ToAll}, data)
		if err != nil && !errors.Is(err, actors.ErrBroadcast) {
			t.Fatal(err)
		}
	})
}
