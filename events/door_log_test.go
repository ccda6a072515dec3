package events_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/events"
)

// Whoever is refused, or has a handler fail, as often as they like writes few lines.
func TestClientsCannotFillTheLog(t *testing.T) {
	const often = 100
	d := openDoor(t, func(p *doorPlan) {
		p.Authorize = func(_ *http.Request, h *events.Hello) (events.Identity, error) {
			switch h.Token {
			case "":
				return events.Identity{}, nil
			case "panic":
				panic("no such token")
			}
			return events.Identity{}, errors.New("no such token")
		}
	})
	events.On(d.srv, "fail", func(context.Context, any) error { return errors.New("it fails") })
	done := make(chan struct{})
	events.On(d.srv, "done", func(context.Context, any) error { close(done); return nil })

	began := time.Now()
	for range often {
		if got := d.post(fields{"token": "x", "down": "poll"}, ""); got.status != http.StatusUnauthorized {
			t.Fatalf("%d %q", got.status, got.text)
		}
		if got := d.post(fields{"token": "panic", "down": "poll"}, ""); got.status != http.StatusInternalServerError {
			t.Fatalf("%d %q", got.status, got.text)
		}
	}
	h := d.post(fields{"down": "poll"}, "").hello(t)
	if got := d.post(namesOf(h).and(fields{"down": "none"}), strings.Repeat("e fail\n", often)+"e done"); got.text != fmt.Sprintln("k", often+1) {
		t.Fatalf("%d %q", got.status, got.text)
	}
	<-done
	log, most := d.log.String(), 11+int(time.Since(began)/time.Second)
	for _, line := range []string{"events: authorizing", "events: Authorize panicked", "events: a handler failed"} {
		if n := strings.Count(log, fmt.Sprintf("msg=%q", line)); n < 10 || n > most {
			t.Errorf("%q is told %d times, want 10 to %d", line, n, most)
		}
	}
}
