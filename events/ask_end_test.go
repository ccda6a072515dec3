package events_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/events"
)

// The context of a question and its session may end at the same time: one of them is
// the outcome.
func TestAQuestionGivenUpWhileItsSessionEndsHasOneOutcome(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		var outcomes []error
		ctx, cancel := context.WithCancel(context.Background())
		events.On(w.srv, "go", func(c context.Context, _ any) error {
			s := events.From(c)
			err := events.AskThen(ctx, s, "well?", nil, func(_ int, err error) { outcomes = append(outcomes, err) })
			s.Close()
			cancel()
			return err
		})
		w.come(events.WebSocket, "ann", nil).Send("e go")
		w.Wait()
		if len(outcomes) != 1 || !errors.Is(outcomes[0], events.ErrEnded) && !errors.Is(outcomes[0], context.Canceled) {
			t.Errorf("outcomes %v, want one", outcomes)
		}
	})
}

func TestAPanicInWhatHearsThatAnAnswerWillNotComeIsLogged(t *testing.T) {
	var log strings.Builder
	told := 0
	o := events.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	inHouse(t, events.Handlers{}, o, func(w *house) {
		s := w.come(events.WebSocket, "ann", nil).session()
		for range 2 {
			if err := events.AskThen(context.Background(), s, "well?", nil, func(int, error) { told++; panic("oops") }); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		w.Wait()
	})
	if n := strings.Count(log.String(), "panic in what hears"); n != 2 || told != 2 {
		t.Errorf("told %d times, and %d panics were logged, want 2:\n%s", told, n, log.String())
	}
}
