package client_test

import (
	"context"
	"testing"

	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events/protocol"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEventsAndQuestionsBothWays(t *testing.T) {
	f := newFake(t)
	c := f.make(options())
	said := make(chan string, 9)
	client.On(c, "said", func(_ context.Context, s string) { said <- s })
	client.Answer(c, "double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	s := f.connect(c, nil)
	ctx := within(t)

	must(t, c.Send(ctx, "say", "hi"))
	s.hears(`e say "hi"`)
	s.say(`e said "ho"`)
	if got := get(t, said); got != "ho" {
		t.Errorf("heard %q", got)
	}
	s.say(`q 1 double 21`)
	s.hears(`r 1 42`)

	answer := make(chan []int, 1)
	go func() {
		got, err := client.Ask[[]int](ctx, c, "history", map[string]int{"last": 2})
		if err != nil {
			t.Error(err)
		}
		answer <- got
	}()
	s.hears(`q 1 history {"last":2}`)
	s.say(`r 1 [1,2]`)
	if got := get(t, answer); len(got) != 2 {
		t.Errorf("answered %v", got)
	}
	closed := make(chan error, 1)
	go func() { closed <- c.Close(ctx) }()
	s.bye()
	must(t, get(t, closed))
	get2(t, c.Done())
	_ = protocol.Version
}
