package events

import (
	"testing"

	"github.com/troupe-actors/troupe/events/protocol"
)

// twin is JSON under another name.
type twin struct{ jsonCodec }

func (twin) Subprotocol() string { return "troupe.v1.twin" }

// A broadcast that is sent Uncompressed is so in every form.
func TestEveryFormIsUncompressed(t *testing.T) {
	srv := &Server{codecs: []Codec{jsonCodec{}, twin{}}}
	p, err := srv.packets(protocol.Message{Kind: protocol.Event, Event: []byte("secret")}, 7)
	if err != nil {
		t.Fatal(err)
	}
	for codec := range srv.codecs {
		if form(p, uint8(codec)).IsUncompressed() || !form(p.Uncompressed(), uint8(codec)).IsUncompressed() {
			t.Errorf("the form for %s", srv.codecs[codec].Subprotocol())
		}
	}
}
