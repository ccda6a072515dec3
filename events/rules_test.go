package events_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/supervisor"
)

// chronicle is what the handlers of one session are told.
type chronicle struct {
	mu    sync.Mutex // guards what follows
	told  []string
	ended time.Time
}

func (d *chronicle) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, fmt.Sprintf(format, args...))
	d.ended = time.Now()
}

func (d *chronicle) handlers() events.Handlers {
	return events.Handlers{
		Attached: func(_ *events.Session, a events.Attached) { d.note("+%v", a.Transport) },
		Detached: func(_ *events.Session, e events.Detached) {
			d.note("-%v %d", e.Transport, e.Code)
		},
		Close: func(_ *events.Session, e actors.Closed) {
			d.note("close %v", e.Cause)
		},
	}
}

func (d *chronicle) expect(w *house, want ...string) {
	w.Helper()
	w.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.told, want) {
		w.Errorf("told %q, want %q", d.told, want)
	}
	d.told = nil
}

// notes has the server write down the events "n" that clients say.
func notes(w *house) *[]int {
	var all []int
	events.On(w.srv, "n", func(_ context.Context, n int) error { all = append(all, n); return nil })
	return &all
}

func TestSection2WhatIsSaidTwiceIsHandledOnce(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		got := notes(w)
		ann := w.come(events.SSE, "ann", nil)
		ann.post("e n 1", "e n 2")
		ann.post("e n 1", "e n 2", "e n 3") // the answer was lost
		ann.post("e n 1")                   // it was late
		if !slices.Equal(*got, []int{1, 2, 3}) {
			t.Errorf("handled %v", *got)
		}
	})
}

func TestSection2AnAcknowledgementComesByHalfOfTheWindowOrWithinASecond(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{Window: 4}, func(w *house) {
		notes(w)
		ann := w.come(events.WebSocket, "ann", nil)
		ann.Send("e n 1")
		w.Wait()
		if ann.Waiting() > 0 {
			t.Errorf("at once: %q", ann.Client.Next().Data)
		}
		w.Advance(time.Second)
		if got := ann.Client.Next().Data; got != "a 1" {
			t.Errorf("within a second: %q", got)
		}
		ann.Send("e n 2")
		ann.Send("e n 3")
		w.Wait()
		if got := ann.Client.Next().Data; got != "a 3" {
			t.Errorf("by half of the window: %q", got)
		}
	})
}

// A client that breaks a rule is told which, and that at once.
func TestSection5AViolationEndsTheSession(t *testing.T) {
	for name, c := range map[string]struct {
		said  string
		heard string
	}{
		"malformed":                        {"what?", "b 3501"},
		"a gap is the server's to tell":    {"g 1", "b 3501"},
		"a second hello":                   {"h {}", "b 3501"},
		"what is here is the server's too": {"k 0", "b 3501"},
		"acknowledged, and was never said": {"a 1", "b 3501"},
		"a token that is no string":        {"t 1", "b 3501"},
		"a goodbye that is no object":      {"b 1", "b 3501"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &chronicle{}
			inHouse(t, d.handlers(), events.Options{}, func(w *house) {
				ann := w.come(events.WebSocket, "ann", nil)
				began := time.Now()
				ann.Send(c.said)
				ann.expect(c.heard)
				ann.ExpectEnd()
				d.expect(w, "+websocket", "-websocket "+c.heard[2:], "close protocol-error")
				if took := d.ended.Sub(began); took >= time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestSection2MoreThanTheWindowEndsTheSession(t *testing.T) {
	d := &chronicle{}
	inHouse(t, d.handlers(), events.Options{Window: 4}, func(w *house) {
		goOn := make(chan struct{})
		events.On(w.srv, "wait", func(context.Context, int) error { <-goOn; return nil }, events.Concurrent())
		ann := w.come(events.WebSocket, "ann", nil)
		for range 40 { // 16 handlers run, the rest is not read but for what may be behind it
			ann.Send("e wait 1")
			w.Wait()
		}
		close(goOn)
		w.Wait()
		for _, told := range ann.heard() {
			if told != "b 3505" {
				t.Errorf("heard %q", told)
			}
		}
		d.expect(w, "+websocket", "-websocket 3505", "close protocol-error")
	})
}

func TestSection2AGapIsToldInItsPlace(t *testing.T) {
	o := events.Options{}
	o.Channel.MailboxMessages, o.Channel.Overflow = 4, actors.DropOldest
	inHouse(t, events.Handlers{}, o, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		s := ann.session()
		ann.Break()
		w.Wait()
		for n := range 10 {
			if err := s.Send("n", n); err != nil {
				t.Fatal(err)
			}
		}
		ann = w.come(events.SSE, "ann", ann)
		ann.expect("g", "n 6", "n 7", "n 8", "n 9")
		ann.Break()
		w.Wait()
		for n := range 10 {
			if err := s.Send("state", n, actors.Latest("state")); err != nil {
				t.Fatal(err)
			}
		}
		ann = w.come(events.WebSocket, "ann", ann)
		ann.expect("state 9") // nothing was lost
		if ann.hello.Lost != 6 {
			t.Errorf("%d are said to be lost", ann.hello.Lost)
		}
	})
}

// Be it the newest that is lost, a broadcast for which there is no room, or one in the
// middle whose time was up: what waited before it comes before its gap.
func TestSection2AGapIsToldBehindWhatWaitedBeforeIt(t *testing.T) {
	for _, tt := range []struct {
		name string
		want []string
		lost uint64
		send func(w *house, s *events.Session)
	}{
		{"the newest", []string{"n 0", "n 1", "n 2", "g"}, 2, func(w *house, s *events.Session) {
			for n := range 5 {
				if err := s.Send("n", n, actors.WithPolicy(actors.DropNewest)); (err == nil) != (n < 3) {
					t.Error(n, err)
				}
			}
		}},
		{"a broadcast", []string{"n 0", "n 1", "n 2", "g"}, 2, func(w *house, s *events.Session) {
			for n := range 5 {
				if err := w.srv.SendAll("n", n, actors.WithPolicy(actors.Reject)); err != nil {
					t.Error(n, err)
				}
			}
			w.Wait()
		}},
		{"one whose time was up", []string{"n 0", "g", "n 2"}, 1, func(w *house, s *events.Session) {
			for n := range 3 {
				var within []events.SendOption
				if n == 1 {
					within = append(within, actors.Within(time.Second))
				}
				if err := s.Send("n", n, within...); err != nil {
					t.Error(n, err)
				}
			}
			w.Advance(2 * time.Second)
		}},
		{"the newest, then the oldest", []string{"g", "n 1", "n 2", "g", "n 4"}, 2, func(w *house, s *events.Session) {
			for n := range 5 {
				policy := actors.DropNewest
				if n == 4 {
					policy = actors.DropOldest
				}
				if err := s.Send("n", n, actors.WithPolicy(policy)); (err == nil) != (n != 3) {
					t.Error(n, err)
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := events.Options{}
			o.Channel.MailboxMessages, o.Channel.Overflow = 3, actors.Reject
			inHouse(t, events.Handlers{}, o, func(w *house) {
				ann := w.come(events.WebSocket, "ann", nil)
				s := ann.session()
				ann.Break()
				w.Wait()
				tt.send(w, s)
				ann = w.come(events.SSE, "ann", ann)
				ann.expect(tt.want...)
				if err := s.Send("n", 9); err != nil {
					t.Error(err)
				}
				ann.expect("n 9")
				ann.Break()
				w.Wait()
				ann = w.come(events.WebSocket, "ann", ann)
				if ann.hello.Lost != tt.lost {
					t.Errorf("%d are said to be lost, want %d", ann.hello.Lost, tt.lost)
				}
			})
		})
	}
}

func TestSection2AGapIsToldIfNothingComesBehindIt(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		s := ann.session()
		ann.Break()
		w.Wait()
		if err := s.Send("n", 1, actors.Within(time.Second)); err != nil {
			t.Fatal(err)
		}
		w.Advance(2 * time.Second)
		ann = w.come(events.WebSocket, "ann", ann)
		ann.expect("g")
	})
}

// The channel of a session leaves its client unread while more than half of what may
// wait for it does. The client comes back all the same, by every transport.
func TestSection3AClientForWhomMuchWaitsComesBack(t *testing.T) {
	for _, how := range everyTransport {
		t.Run(how.String(), func(t *testing.T) {
			d := &chronicle{}
			o := events.Options{Window: 2}
			o.Channel.MailboxMessages, o.Channel.Overflow = 4, actors.Reject
			inHouse(t, d.handlers(), o, func(w *house) {
				ann := w.come(how, "ann", nil)
				s := ann.session()
				ann.Break()
				w.Advance(10 * time.Second)
				for n := range 4 {
					if err := s.Send("n", n); err != nil {
						t.Fatal(err)
					}
				}
				ann = w.come(how, "ann", ann)
				got := ann.heard()
				for len(got) < 4 && how != events.Poll {
					was := len(got)
					ann.post(fmt.Sprint("a ", ann.numbered))
					if got = append(got, ann.heard()...); len(got) == was {
						break
					}
				}
				if want := []string{"n 0", "n 1", "n 2", "n 3"}; !slices.Equal(got, want) {
					t.Errorf("heard %q, want %q", got, want)
				}
			})
		})
	}
}

func TestSection3ASessionForWhichMuchWaitsEndsWithItsGrace(t *testing.T) {
	d := &chronicle{}
	o := events.Options{Grace: 30 * time.Second}
	o.Channel.MailboxMessages, o.Channel.Overflow = 4, actors.Reject
	inHouse(t, d.handlers(), o, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		s := ann.session()
		ann.Break()
		w.Wait()
		for n := range 4 {
			if err := s.Send("n", n); err != nil {
				t.Fatal(err)
			}
		}
		w.Advance(29 * time.Second)
		d.expect(w, "+websocket", "-websocket 1006")
		w.Advance(2 * time.Second)
		d.expect(w, "close connection-lost")
	})
}

func TestSection3AnotherConnectionTakesOver(t *testing.T) {
	d := &chronicle{}
	inHouse(t, d.handlers(), events.Options{}, func(w *house) {
		var last *guest
		want := []string{}
		for _, how := range []events.Transport{events.WebSocket, events.SSE, events.Poll, events.WebSocket} {
			next := w.come(how, "ann", last)
			if last != nil {
				if !next.hello.Resumed {
					t.Fatalf("%v does not go on", how)
				}
				if last.how != events.Poll {
					last.expect("b 3001")
				}
				want = append(want, "-"+last.how.String()+" 3001")
			}
			want = append(want, "+"+how.String())
			last = next
		}
		d.expect(w, want...)
	})
}

// What was sent before the end is heard, then the goodbye, over every transport.
func TestSection5WhatWasSentBeforeTheEndIsHeard(t *testing.T) {
	for _, how := range everyTransport {
		t.Run(how.String(), func(t *testing.T) {
			d := &chronicle{}
			inHouse(t, d.handlers(), events.Options{}, func(w *house) {
				ann := w.come(how, "ann", nil)
				s := ann.session()
				for n := range 3 {
					if err := s.Send("n", n); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := s.CloseWith(3999, "enough"); err != nil {
					t.Fatal(err)
				}
				ann.expect("n 0", "n 1", "n 2", "b 3999")
				w.Advance(time.Second)
				d.expect(w, "+"+how.String(), fmt.Sprintf("-%v 3999", how), "close local-closed")
			})
		})
	}
}

func TestSection5AClientsGoodbyeComesBehindWhatItHasSaid(t *testing.T) {
	d := &chronicle{}
	inHouse(t, d.handlers(), events.Options{}, func(w *house) {
		got := notes(w)
		ann := w.come(events.SSE, "ann", nil)
		ann.post("e n 1", "e n 2", `b {"code":1000,"end":true}`)
		w.Wait()
		if !slices.Equal(*got, []int{1, 2}) {
			t.Errorf("handled %v", *got)
		}
		if len(d.told) != 3 || d.told[2] != "close "+supervisor.CausePeerClosed.String() {
			t.Errorf("told %q", d.told)
		}
	})
}

func TestSection5WhoeverIsDrainedIsToldWhenToComeBack(t *testing.T) {
	for _, how := range everyTransport {
		t.Run(how.String(), func(t *testing.T) {
			inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
				ann := w.come(how, "ann", nil)
				drained := make(chan error, 1)
				go func() { drained <- w.Runtime().Drain(context.Background()) }()
				w.Wait()
				text := ""
				if how == events.Poll {
					text = ann.answer()
				} else {
					text = ann.Client.Next().Data
				}
				if !strings.HasPrefix(text, `b {"code":1001`) || !strings.Contains(text, `"retry":`) {
					t.Errorf("heard %q", text)
				}
				if how == events.WebSocket {
					ann.ExpectEnd()
				}
				if err := <-drained; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A Detached that fails, or hangs, at the end costs nobody the Close.
func TestCloseIsToldWhateverDetachedDoes(t *testing.T) {
	for name, detached := range map[string]func(){
		"panics": func() { panic(errCrash) },
		"hangs":  func() { time.Sleep(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			o := events.Options{}
			o.Channel.HandlerDeadline = time.Second
			ends := make(chan actors.Closed, 2)
			inHouse(t, events.Handlers{
				Detached: func(*events.Session, events.Detached) { detached() },
				Close:    func(_ *events.Session, e actors.Closed) { ends <- e },
			}, o, func(w *house) {
				w.AllowFailures()
				ann := w.come(events.SSE, "ann", nil)
				ann.session().Close()
				w.Advance(10 * time.Second)
				if len(ends) != 1 {
					t.Errorf("Close was told %d times", len(ends))
				}
				w.Advance(time.Hour)
				if len(ends) != 1 {
					t.Errorf("Close was told %d times in the end", len(ends))
				}
			})
		})
	}
}

func TestAMessageSentWithinATimeCostsNoSession(t *testing.T) {
	d := &chronicle{}
	inHouse(t, d.handlers(), events.Options{Window: 1}, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		s := ann.session()
		var told []events.Receipt
		for n := range 3 {
			if err := s.Send("n", n, actors.Within(time.Second), events.OnReceipt(func(r events.Receipt) { told = append(told, r) })); err != nil {
				t.Fatal(err)
			}
		}
		w.Advance(5 * time.Second)
		ann.expect("n 0")
		ann.Send("a 1")
		ann.expect("g")
		d.expect(w, "+websocket")
		want := []events.Receipt{events.Written, events.Expired, events.Expired, events.Acknowledged}
		if !slices.Equal(told, want) {
			t.Errorf("receipts %v, want %v", told, want)
		}
	})
}

func TestReceiptsAreToldToAnEnd(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{Window: 2}, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		s := ann.session()
		told := map[int][]events.Receipt{}
		for n := range 4 {
			if err := s.Send("n", n, events.OnReceipt(func(r events.Receipt) { told[n] = append(told[n], r) })); err != nil {
				t.Fatal(err)
			}
		}
		ann.expect("n 0", "n 1")
		ann.Send("a 1")
		ann.expect("n 2")
		ann.Break()
		s.Close()
		w.Advance(10 * time.Second)
		for n, want := range [][]events.Receipt{
			{events.Written, events.Acknowledged}, {events.Written, events.Lost}, {events.Written, events.Lost}, {events.Lost},
		} {
			if !slices.Equal(told[n], want) {
				t.Errorf("message %d: %v, want %v", n, told[n], want)
			}
		}
	})
}
