package client_test

import (
	"errors"
	"testing"

	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events/protocol"
)

// A server that parts from a connection has not heard the goodbye, nor perhaps what was
// said before.
func TestCloseIsNotDoneWhereTheServerPartsForAnotherReason(t *testing.T) {
	for name, code := range map[string]uint16{"the connection is dead": protocol.CodeDead, "it restarts": 1012} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c := f.make(options())
			s := f.connect(c, nil)
			must(t, c.Send(within(t), "say", "hi"))
			closed := make(chan error, 1)
			go func() { closed <- c.Close(within(t)) }()
			s.hears(`e say "hi"`, `b {"code":1000,"end":true}`)
			s.ends(protocol.Bye{Code: code})
			if err := get(t, closed); !errors.Is(err, client.ErrLost) {
				t.Errorf("Close: %v, want ErrLost", err)
			}
		})
	}
}
