package events_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/events"
)

// Of several that answer one wins, and each other that has answered is told, with what it was
// asked: also after the question to it was cancelled, and if nobody waits any more.
func TestWhoAnswersLateIsTold(t *testing.T) {
	for _, how := range everyTransport {
		t.Run(how.String(), func(t *testing.T) {
			inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
				var devices []*guest
				for range 3 {
					devices = append(devices, w.come(how, "ann", nil))
				}
				type outcome struct {
					by  string
					err error
				}
				came := make(chan outcome, 1)
				ask := func(n int) (give context.CancelFunc) {
					ctx, give := context.WithCancel(context.Background())
					go func() {
						by, err := events.AskFirst[string](ctx, w.srv, "ann", "call", n)
						came <- outcome{by, err}
					}()
					w.Wait()
					for _, d := range devices {
						d.expect("q")
					}
					return give
				}
				answer := func(d *guest, line string) {
					d.post(line)
					d.said++
				}
				give := ask(1)
				answer(devices[1], `r 1 "second device"`)
				if o := <-came; o != (outcome{"second device", nil}) {
					t.Error(o)
				}
				give()
				devices[0].expect("c")
				devices[2].expect("c")
				answer(devices[0], `r 1 "its answer was on its way"`)
				devices[0].expect("call.late 1")
				answer(devices[2], `x 1 {"code":"canceled"}`)
				devices[2].expect()
				devices[1].expect()
				answer(devices[0], `r 1 "again"`)
				devices[0].expect()

				give = ask(2)
				give()
				if o := <-came; o.err != context.Canceled {
					t.Error(o)
				}
				for _, d := range devices {
					d.expect("c")
					answer(d, `r 2`)
					d.expect("call.late 2")
				}
			})
		})
	}
}

// However close they come, one device believes that it was the first, and it is the one.
func TestOneDeviceWins(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		one, two := w.come(events.SSE, "ann", nil), w.come(events.SSE, "ann", nil)
		for range 50 {
			came := make(chan string, 1)
			go func() {
				by, err := events.AskFirst[string](context.Background(), w.srv, "ann", "call", "x")
				if err != nil {
					t.Error(err)
				}
				came <- by
			}()
			w.Wait()
			one.expect("q")
			two.expect("q")
			said := make(chan struct{}, 2)
			for _, d := range []*guest{one, two} {
				id := d.said + 1
				go func() {
					r, err := w.HTTP().Post("http://troupe.test/?uid=ann", "text/plain", strings.NewReader(d.body("none", "r "+strconv.FormatUint(id, 10)+` "`+d.hello.Session+`"`)))
					if err == nil {
						r.Body.Close()
					} else {
						t.Error(err)
					}
					said <- struct{}{}
				}()
			}
			<-said
			<-said
			one.said++
			two.said++
			w.Advance(time.Second)
			winner := <-came
			for _, d := range []*guest{one, two} {
				told := strings.Contains(strings.Join(d.heard(), ","), `call.late "x"`)
				if told == (d.hello.Session == winner) {
					t.Fatal("told:", told, "first:", winner == d.hello.Session)
				}
			}
		}
	})
}
