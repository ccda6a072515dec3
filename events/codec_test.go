package events_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/cbor"
	"github.com/troupe-actors/troupe/events/msgpack"
	"github.com/troupe-actors/troupe/events/protocol"
)

// parcel is what every codec must carry.
type parcel struct {
	Name   string           `json:"name"`
	Big    int64            `json:"big"`
	Small  *int             `json:"small,omitempty"`
	Real   float64          `json:"real"`
	Bytes  []byte           `json:"bytes"`
	At     time.Time        `json:"at"`
	Counts map[int64]string `json:"counts"`
	List   []string         `json:"list"`
	Inner  *parcel          `json:"inner,omitempty"`
}

func full() parcel {
	n := -7
	return parcel{
		Name: "Grüße 🎭", Big: math.MinInt64, Small: &n, Real: 0.1, Bytes: []byte{0, 1, 0xff},
		At:     time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC),
		Counts: map[int64]string{-1: "a", 1 << 40: "b"}, List: []string{"x", ""},
		Inner: &parcel{Name: "in", Big: math.MaxInt64, Real: -1e300, At: time.Unix(0, 0).UTC()},
	}
}

// utc is the parcel with its times in UTC: not every codec has zones.
func (p parcel) utc() parcel {
	p.At = p.At.UTC()
	if p.Inner != nil {
		inner := p.Inner.utc()
		p.Inner = &inner
	}
	return p
}

// jsonData is JSON as a Codec, for tables.
type jsonData struct{}

func (jsonData) Subprotocol() string             { return protocol.JSON }
func (jsonData) Encode(v any) ([]byte, error)    { return json.Marshal(v) }
func (jsonData) Decode(data []byte, v any) error { return json.Unmarshal(data, v) }

var codecs = []events.Codec{jsonData{}, msgpack.Codec{}, cbor.Codec{}}

// counting is a codec that counts what it encodes.
type counting struct {
	events.Codec
	n *atomic.Int64
}

func (c counting) Encode(v any) ([]byte, error) {
	c.n.Add(1)
	return c.Codec.Encode(v)
}

// What is said in any codec on any transport comes to typed handlers as it was, and
// their answers come back.
func TestTypedDataInEveryCodecOnEveryTransport(t *testing.T) {
	for _, codec := range codecs {
		for _, how := range transports {
			t.Run(codec.Subprotocol()+"/"+how.String(), func(t *testing.T) {
				t.Parallel()
				h := open(t, events.Handlers{}, events.Options{Codecs: codecs[1:]})
				got := make(chan parcel, 1)
				events.Reply(h.Server, "echo", func(_ context.Context, p parcel) (parcel, error) {
					got <- p
					return p, nil
				})
				events.Reply(h.Server, "bytes", func(_ context.Context, b []byte) ([]byte, error) { return append(b, '!'), nil })
				events.Reply(h.Server, "nothing", func(_ context.Context, p *parcel) (bool, error) { return p == nil, nil })
				c := h.join(how, codec.Subprotocol())
				_, text := codec.(jsonData)
				ask := func(id uint64, event string, v any) heard {
					m := protocol.Message{Kind: protocol.Question, ID: id, Event: []byte(event)}
					if v != nil {
						b, err := codec.Encode(v)
						if err != nil {
							t.Fatal(err)
						}
						m.Data = b
					}
					c.say(text, protocol.Append(nil, m))
					return c.hear()
				}

				want := full()
				m := ask(1, "echo", want)
				if p := <-got; !reflect.DeepEqual(p.utc(), want) {
					t.Errorf("the handler got %+v", p)
				}
				var back parcel
				if err := codec.Decode(m.Data, &back); err != nil || !reflect.DeepEqual(back.utc(), want) || m.Kind != protocol.Answer || m.text != text {
					t.Errorf("%v: %+v: %v", m, back, err)
				}

				if text { // bytes as such
					c.say(false, []byte("q 2 bytes \x00\xff"))
					if m := c.hear(); m.text || m.String() != "r 2 \x00\xff!" {
						t.Errorf("%v", m)
					}
				} else {
					m := ask(2, "bytes", []byte{0, 0xff})
					var b []byte
					if err := codec.Decode(m.Data, &b); err != nil || !bytes.Equal(b, []byte{0, 0xff, '!'}) {
						t.Errorf("%v: %q: %v", m, b, err)
					}
				}

				var none bool
				if m := ask(3, "nothing", nil); codec.Decode(m.Data, &none) != nil || !none {
					t.Errorf("without data: %v", m)
				}
				if m := ask(4, "echo", "no parcel"); m.Kind != protocol.Failure || m.ID != 4 {
					t.Errorf("data of another type: %v", m)
				}
				if !text { // JSON's text is none of this codec
					c.says(`q 5 echo {"name":"x"}`)
					c.want(`x 5 {"code":"invalid","message":"the data is not what this event takes"}`)
				}
			})
		}
	}
}

// A broadcast reaches sessions of all codecs, and is encoded once for each codec.
func TestBroadcastIsEncodedOnceForEachCodec(t *testing.T) {
	var n [2]atomic.Int64
	both := []events.Codec{counting{msgpack.Codec{}, &n[0]}, counting{cbor.Codec{}, &n[1]}}
	h := open(t, events.Handlers{Open: func(s *events.Session) { _, _ = s.Join("lobby") }}, events.Options{Codecs: both})
	var all []*speaker
	for i := range 9 {
		all = append(all, h.join(transports[i/3], codecs[i%3].Subprotocol())) // who has the hello has joined
	}
	p := full()
	if err := h.Publish("lobby", "said", p); err != nil {
		t.Fatal(err)
	}
	if err := h.Publish("lobby", "raw", []byte("\x00\xff")); err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		m := c.hear()
		var got parcel
		if err := codecs[i%3].Decode(m.Data, &got); err != nil || !reflect.DeepEqual(got.utc(), p) || string(m.Event) != "said" {
			t.Errorf("%v %s: %v: %v", c.how, c.codec, m, err)
		}
		m = c.hear()
		if c.codec == protocol.JSON {
			if m.text || string(m.Data) != "\x00\xff" {
				t.Errorf("%v: %v", c.how, m)
			}
			continue
		}
		var b []byte
		if err := codecs[i%3].Decode(m.Data, &b); err != nil || string(b) != "\x00\xff" {
			t.Errorf("%v %s: %v: %v", c.how, c.codec, m, err)
		}
	}
	for i := range n {
		if n := n[i].Load(); n != 2 {
			t.Errorf("%s encoded %d times", both[i].Subprotocol(), n)
		}
	}
}

// Data that a codec cannot encode is an error of the send, and a failure of the
// question that it was to answer.
func TestDataThatCannotBeEncoded(t *testing.T) {
	for _, codec := range codecs {
		t.Run(codec.Subprotocol(), func(t *testing.T) {
			h := open(t, events.Handlers{}, events.Options{Codecs: codecs[1:]})
			events.Reply(h.Server, "bad", func(context.Context, any) (any, error) { return make(chan int), nil })
			c := h.join(events.WebSocket, codec.Subprotocol())
			if err := c.session().Send("x", func() {}); !errors.Is(err, events.ErrEncode) {
				t.Error(err)
			}
			if err := h.SendAll("x", func() {}); !errors.Is(err, events.ErrEncode) {
				t.Error(err)
			}
			c.says("q 1 bad")
			c.want(`x 1 {"code":"failed","message":"the handler failed"}`)
			if err := c.session().Send("y", nil); err != nil {
				t.Error(err)
			}
			c.want("e y")
		})
	}
}

func FuzzCodecs(f *testing.F) {
	for i, codec := range codecs {
		for _, v := range []any{full(), nil, []any{1, "a", []byte("b"), map[string]any{"k": 1.5}}} {
			b, err := codec.Encode(v)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), b)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		codec := codecs[int(which)%len(codecs)]
		before := bytes.Clone(data)
		var p parcel
		if codec.Decode(data, &p) == nil {
			b, err := codec.Encode(p)
			if err != nil {
				if p.At.Year() > 9999 || p.At.Year() < 0 || jsonZone(p.At) {
					return // no codec need write such a time as text
				}
				t.Fatalf("what was decoded is not encoded: %v", err)
			}
			var again parcel
			if err := codec.Decode(b, &again); err != nil {
				t.Fatalf("what was encoded is not decoded: %v", err)
			}
		}
		var v any
		_ = codec.Decode(data, &v)
		if !bytes.Equal(data, before) {
			t.Fatal("the data was changed")
		}
	})
}

// jsonZone reports a zone that RFC 3339 cannot write.
func jsonZone(at time.Time) bool {
	_, offset := at.Zone()
	return offset <= -24*3600 || offset >= 24*3600
}
