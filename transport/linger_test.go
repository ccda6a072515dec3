package transport_test

import (
	"net"
	"testing"
	"testing/synctest"

	"github.com/troupe-actors/troupe/transport"
)

// listener notes whether anybody waits for what its peer still says.
type listener struct {
	net.Conn
	heard bool
}

func (c *listener) Read(p []byte) (int, error) {
	c.heard = true
	return c.Conn.Read(p)
}

// Those who have said goodbye are waited for, but not by any number of goroutines.
func TestNotEverybodyLingers(t *testing.T) {
	for _, others := range []int32{0, transport.MostLingering - 1, transport.MostLingering} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			c := &listener{Conn: server}
			transport.PartWays(c, others)
			if lingers := others < transport.MostLingering; c.heard != lingers {
				t.Errorf("with %d others, it is waited for: %t", others, c.heard)
			}
			if _, err := client.Read(make([]byte, 1)); err == nil {
				t.Error("it is not closed")
			}
		})
	}
}
