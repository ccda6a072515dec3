package events_test

import (
	"fmt"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
)

// One acknowledgement of all that the window allowed is enough for what waits behind
// it, also while so much waits that the channel reads no more from its client.
func TestAnAcknowledgementOfAllBringsTheRest(t *testing.T) {
	for _, how := range []events.Transport{events.WebSocket, events.SSE} {
		t.Run(how.String(), func(t *testing.T) {
			inHouse(t, events.Handlers{}, events.Options{Window: 8, Channel: actors.Options{MailboxMessages: 64}}, func(w *house) {
				ann := w.come(how, "ann", nil)
				s := ann.session()
				ann.Break()
				w.Wait()
				const many = 50
				for i := range many {
					if err := s.Send("n", i); err != nil {
						t.Fatal(err)
					}
				}
				ann = w.come(how, "ann", ann)
				for i := 0; i < many; {
					var want []string
					for ; i < many && len(want) < 8; i++ {
						want = append(want, fmt.Sprintf("n %d", i))
					}
					ann.expect(want...)
					ack := fmt.Sprintf("a %d", ann.numbered)
					if how == events.SSE {
						ann.post(ack)
					} else {
						ann.Send(ack)
					}
					w.Wait()
				}
			})
		})
	}
}
