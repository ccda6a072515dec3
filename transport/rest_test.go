package transport_test

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// What an owner leaves unread for a while takes its own size, and is counted.
func TestRest(t *testing.T) {
	for _, end := range []string{"read on", "released", "refused"} {
		t.Run(end, func(t *testing.T) {
			reserved := 0
			cfg := transport.Config{Reserve: func(n int) bool { reserved += n; return n <= 0 || end != "refused" }}
			eachDriver(t, cfg, func(t *testing.T, o *owner, p *transporttest.Peer) {
				reserved = 0
				hello := frame(ws.OpText, true, "hello")
				p.WriteRaw([]byte(strings.Repeat(string(hello), 10)))
				for i := range 4 { // each may find the rest of a packet
					if in := o.next(); string(in.Data) != "hello" {
						t.Fatal(i, describe(in))
					}
				}
				o.link.Rest()
				if end == "refused" {
					reserved = 0
				}
				if held := o.link.Held(); held != reserved || held > 6*len(hello) {
					t.Errorf("%d bytes are held, %d reserved", held, reserved)
				}
				if end != "refused" {
					o.link.Rest() // has nothing more to do
				}
				if o.link.Held() != reserved {
					t.Errorf("the second time, %d bytes are held, %d reserved", o.link.Held(), reserved)
				}
				if end == "released" {
					o.link.Release()
				} else {
					for i := range 6 {
						if in := o.next(); string(in.Data) != "hello" {
							t.Fatal(i, describe(in))
						}
					}
				}
				if end != "refused" && (o.link.Held() != 0 || reserved != 0) {
					t.Errorf("%d bytes are held, %d reserved", o.link.Held(), reserved)
				}
			})
		})
	}
}
