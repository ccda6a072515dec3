package main

import (
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/examples/internal/exampletest"
	"github.com/troupe-actors/troupe/transport"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

func TestEveryMessageComesBack(t *testing.T) {
	url := exampletest.Serve(t, exampletest.Start(t, actors.Config{}).Handler(echo))
	c := exampletest.Dial(t, url)

	long := strings.Repeat("long ", 20_000)
	for _, text := range []string{"hello", "", "grüezi", long} {
		c.Say(text)
		c.Expect(text)
	}

	if err := c.Peer.WriteBinary([]byte{0, 1, 2, 255}); err != nil {
		t.Fatal(err)
	}
	op, b, err := c.Peer.ReadMessage(exampletest.Within(t))
	if err != nil || op != transport.Binary || string(b) != "\x00\x01\x02\xff" {
		t.Fatalf("got %v %x %v", op, b, err)
	}
	c.Leave()
}

func TestManyMessagesKeepTheirOrder(t *testing.T) {
	url := exampletest.Serve(t, exampletest.Start(t, actors.Config{}).Handler(echo))
	c := exampletest.Dial(t, url)
	const n = 1000
	go func() {
		for i := range n {
			if c.Peer.WriteText(strings.Repeat("x", i)) != nil {
				return // the reader fails
			}
		}
	}()
	for i := range n {
		if got, _ := c.Hear(); len(got) != i {
			t.Fatalf("message %d has %d bytes", i, len(got))
		}
	}
	c.Leave()
}
