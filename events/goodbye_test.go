package events_test

import (
	"testing"
)

// A goodbye to a connection whose session goes on arrives also where another
// goroutine writes.
func TestGoodbyesArriveByEveryDriver(t *testing.T) {
	onEachDoor(t, func(t *testing.T, kind string) {
		d := openDoor(t, func(p *doorPlan) {
			p.kind = kind
			p.Authorize = expiring
		})
		come := func(f fields) *peer {
			t.Helper()
			if kind == "wrapped" || kind == "h2" {
				p, refused := d.stream(f, "")
				if p == nil {
					t.Fatalf("%d %q", refused.status, refused.text)
				}
				return p
			}
			return d.socket(f)
		}
		for range 10 {
			if b := come(fields{"token": "ann:-1s"}).bye(); b.Code != 3003 || b.End {
				t.Errorf("expired: %+v", b)
			}
			first := come(fields{"token": "ann:"})
			second := come(first.names().and(fields{"token": "ann:"}))
			if b := first.bye(); b.Code != 3001 || b.End || !second.hello.Resumed {
				t.Errorf("moved: %+v", b)
			}
		}
		names := fields{"token": "ann:"}.and(namesOf(d.post(fields{"token": "ann:", "down": "poll"}, "").hello(t)))
		held := make(chan answered, 2)
		for range cap(held) {
			go func() {
				got, err := d.try(d.Context(), pollBody(names))
				if err != nil {
					t.Error(err)
				}
				held <- got
			}()
		}
		if got := <-held; got.text != "" || got.status != 200 {
			t.Errorf("the earlier of two polls: %d %q", got.status, got.text)
		}
		s, _ := d.srv.Session(names["session"].(string))
		if err := s.Send("late", nil); err != nil {
			t.Error(err)
		}
		if got := <-held; got.text != "e late\n" {
			t.Errorf("the later: %d %q", got.status, got.text)
		}
	})
}
