package events_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
)

// A session that is closed between two polls waits for the next, to say goodbye. That
// none comes is told before Close, as is what becomes of what was not acknowledged.
func TestWhatHappensWhileASessionEndsIsToldBeforeClose(t *testing.T) {
	var told []string
	inHouse(t, events.Handlers{
		Attached: func(_ *events.Session, a events.Attached) { told = append(told, "attached "+a.Transport.String()) },
		Detached: func(_ *events.Session, d events.Detached) { told = append(told, "detached "+d.Transport.String()) },
		Close:    func(*events.Session, actors.Closed) { told = append(told, "close") },
	}, events.Options{PollGap: time.Second}, func(w *house) {
		g := w.come(events.Poll, "ann", nil)
		s := g.session()
		g.Break()
		w.Wait()
		for i := range 2 {
			err := s.Send("news", i, events.OnReceipt(func(r events.Receipt) { told = append(told, fmt.Sprint(i, " ", r)) }))
			if err != nil {
				t.Fatal(err)
			}
		}
		w.Wait()
		s.Close()
		w.Advance(time.Minute)
	})
	slices.Sort(told[1 : len(told)-1])
	if want := []string{"attached poll", "0 lost", "1 lost", "detached poll", "close"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// Who waits for a message may want a receipt, too.
func TestSendWaitGivesReceipts(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		var told []events.Receipt
		note := events.OnReceipt(func(r events.Receipt) { told = append(told, r) })
		if err := ann.session().SendWait(w.Context(), "n", 1, note); err != nil {
			t.Fatal(err)
		}
		ann.Break()
		w.Wait()
		if err := ann.session().SendWait(w.Context(), "n", 2, actors.Within(time.Second), note); !errors.Is(err, actors.ErrTimeout) {
			t.Fatalf("it waited for %v", err)
		}
		w.Wait()
		if want := []events.Receipt{events.Written, events.Expired}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}
