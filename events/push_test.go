package events_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/events"
)

// counted is data that counts how often it is encoded.
type counted struct{ times *atomic.Int32 }

func (c counted) MarshalJSON() ([]byte, error) {
	c.times.Add(1)
	return []byte(`"here"`), nil
}

// upper is a codec besides JSON, which counts too.
type upper struct{ times *atomic.Int32 }

func (upper) Subprotocol() string { return "troupe.v1.upper" }

func (u upper) Encode(v any) ([]byte, error) {
	u.times.Add(1)
	b, err := json.Marshal(v)
	return bytes.ToUpper(b), err
}

func (upper) Decode(data []byte, v any) error { return json.Unmarshal(bytes.ToLower(data), v) }

// 203
func TestAPushReachesAllClientsOfAUserOverEveryTransport(t *testing.T) {
	inHouse(t, inAndOut, events.Options{}, func(w *house) {
		var anns []*guest
		for _, how := range everyTransport {
			anns = append(anns, w.come(how, "ann", nil), w.come(how, "ann", nil))
		}
		bob := w.come(events.WebSocket, "bob", nil)
		for i := range 20 {
			if err := w.srv.SendUID("ann", "n", i); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		for i := range 20 {
			want = append(want, fmt.Sprint("n ", i))
		}
		for _, g := range anns {
			g.expect(want...)
		}
		bob.expect()
	})
}

func TestAPushIsEncodedOnceForAllOfACodec(t *testing.T) {
	var inUpper atomic.Int32
	inHouse(t, events.Handlers{Open: func(s *events.Session) { _, _ = s.Join("lobby") }}, events.Options{Codecs: []events.Codec{upper{&inUpper}}}, func(w *house) {
		var all []*guest
		for range 5 {
			for _, how := range everyTransport {
				all = append(all, w.come(how, "ann", nil))
			}
		}
		var times atomic.Int32
		for name, push := range map[string]func(data any) error{
			"topic":  func(data any) error { return w.srv.Publish("lobby", "e", data) },
			"user":   func(data any) error { return w.srv.SendUID("ann", "e", data) },
			"all":    func(data any) error { return w.srv.SendAll("e", data) },
			"others": func(data any) error { return all[0].session().PublishOthers("lobby", "e", data) },
			"now":    func(data any) error { return w.srv.Publish("lobby", "e", data, events.Now()) },
		} {
			times.Store(0)
			inUpper.Store(0)
			if err := push(counted{&times}); err != nil {
				t.Fatal(err)
			}
			for _, g := range all {
				if name != "others" || g != all[0] {
					g.expect(`e "here"`)
				}
			}
			all[0].expect()
			// JSON once, and the other codec once, which asks for JSON itself.
			if times.Load() != 2 || inUpper.Load() != 1 {
				t.Errorf("%s: encoded %d times, in the other codec %d", name, times.Load(), inUpper.Load())
			}
		}
	})
}

func TestSendClientAddressesOneTab(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		one := w.come(events.WebSocket, "ann", nil)
		two := w.come(events.SSE, "ann", &guest{name: "other"})
		foreign := w.come(events.Poll, "bob", &guest{name: "other"})
		if sent, err := w.srv.SendClient("ann", "other", "e", 1); !sent || err != nil {
			t.Errorf("SendClient: %v, %v", sent, err)
		}
		one.expect()
		two.expect("e 1")
		foreign.expect()
		if sent, err := w.srv.SendClient("ann", "third", "e", 1); sent || err != nil { // 208
			t.Errorf("SendClient to nobody: %v, %v", sent, err)
		}
	})
}

// 204: what is said within Batch leaves together, in the order it was said.
func TestPushesWithinTheBatchLeaveTogether(t *testing.T) {
	for _, how := range everyTransport {
		t.Run(how.String(), func(t *testing.T) {
			inHouse(t, inAndOut, events.Options{Batch: 300 * time.Millisecond}, func(w *house) {
				ann := w.come(how, "ann", nil)
				w.Advance(time.Second)
				ann.heard()
				for i := range 10 {
					if err := w.srv.SendUID("ann", "n", i); err != nil {
						t.Fatal(err)
					}
					w.Advance(29 * time.Millisecond)
				}
				if ann.Waiting() != 0 {
					t.Fatal("something came before its time")
				}
				w.Advance(10 * time.Millisecond)
				var want []string
				for i := range 10 {
					want = append(want, fmt.Sprint("n ", i))
				}
				ann.expect(want...)

				// 205
				began := time.Now()
				_ = w.srv.SendUID("ann", "late", nil)
				if err := w.srv.SendUID("ann", "now", nil, events.Now()); err != nil {
					t.Fatal(err)
				}
				w.Wait()
				ann.expect("late ", "now ")
				if since := time.Since(began); since > 100*time.Millisecond { // the fixture lets some pass for a poll
					t.Errorf("what is not to wait came after %v", since)
				}
			})
		})
	}
}

// 206, 207: a client that is cut gets what was said meanwhile when it is back, each once.
func TestWhoReconnectsGetsEveryPushOnce(t *testing.T) {
	for _, how := range everyTransport {
		for _, next := range everyTransport {
			t.Run(how.String()+" "+next.String(), func(t *testing.T) {
				inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
					ann := w.come(how, "ann", nil)
					var got, want []string
					push := func() {
						want = append(want, fmt.Sprint("n ", len(want)))
						if err := w.srv.SendUID("ann", "n", len(want)-1); err != nil {
							t.Fatal(err)
						}
					}
					for round := range 4 {
						for range 5 {
							push()
						}
						got = append(got, ann.heard()...)
						ann.Break()
						for range 5 {
							push() // as the connection goes, or after
							w.Advance(time.Duration(round) * 700 * time.Millisecond)
						}
						if round%2 == 0 {
							ann = w.come(next, "ann", ann)
						} else {
							ann = w.come(how, "ann", ann)
						}
						if !ann.hello.Resumed {
							t.Fatal("the session is another")
						}
						got = append(got, ann.heard()...)
					}
					if !slices.Equal(got, want) {
						t.Errorf("got %q, want %q", got, want)
					}
				})
			})
		}
	}
}

// 208
func TestAPushToAUserWithoutClientsIsHarmless(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		for _, err := range []error{
			w.srv.SendUID("ann", "e", 1), w.srv.SendUID("", "e", 1),
			w.srv.Publish("lobby", "e", 1), w.srv.SendAll("e", 1),
		} {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

// 209: and to all but some.
func TestABroadcastMayGoOverTheUsers(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		ann, bob := w.come(events.WebSocket, "ann", nil), w.come(events.SSE, "bob", nil)
		nobody := w.come(events.Poll, "", nil)
		for uid := range w.srv.Users() {
			if uid != "bob" {
				if err := w.srv.SendUID(uid, "to", uid); err != nil {
					t.Fatal(err)
				}
			}
		}
		ann.expect(`to "ann"`)
		if err := w.srv.SendAll("all", nil); err != nil {
			t.Fatal(err)
		}
		for _, g := range []*guest{ann, bob, nobody} {
			g.expect("all ")
		}
	})
}

// 210
func TestManyRapidPushesArriveComplete(t *testing.T) {
	for _, how := range everyTransport {
		t.Run(how.String(), func(t *testing.T) {
			inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
				ann := w.come(how, "ann", nil)
				var want []string
				for i := range 200 {
					if err := w.srv.SendUID("ann", "n", i); err != nil {
						t.Fatal(err)
					}
					want = append(want, fmt.Sprint("n ", i))
				}
				w.Advance(time.Second)
				ann.expect(want...)
			})
		})
	}
}

// State that is sent as Latest is told once to who was away, as it is now, and takes no
// other's place.
func TestLatestWhileAway(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		_ = w.srv.SendUID("ann", "score", 0, actors.Latest("score"))
		ann.expect("score 0")
		ann.Break()
		w.Advance(time.Second)
		for i := 1; i <= 50; i++ {
			if err := w.srv.SendUID("ann", "score", i, actors.Latest("score")); err != nil {
				t.Fatal(err)
			}
			if i%10 == 0 {
				_ = w.srv.SendUID("ann", "goal", i)
				_ = w.srv.SendUID("ann", "clock", i, actors.Latest("clock"))
			}
		}
		ann = w.come(events.SSE, "ann", ann)
		got := ann.heard()
		slices.Sort(got)
		want := []string{"clock 50", "goal 10", "goal 20", "goal 30", "goal 40", "goal 50", "score 50"}
		if !ann.hello.Resumed || !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
	})
}

// Channels of other endpoints of the runtime have topics and users in common with
// sessions, and get none of their events.
func TestChannelsOfOtherEndpointsGetNoEvents(t *testing.T) {
	actorstest.Run(t, actors.Config{}, func(s *actorstest.Sim) {
		w := &house{Sim: s, began: time.Now()}
		w.srv = w.serve(events.Handlers{Open: func(s *events.Session) { _, _ = s.Join("lobby") }}, events.Options{})
		raw, err := s.Runtime().Endpoint(actors.Options{
			Authorize: func(http.ResponseWriter, *http.Request) (string, bool) { return "ann", true },
		}, actors.Callbacks{Open: func(c *actors.Channel) { _, _ = c.Join("lobby") }})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		mux.Handle("/", w.srv)
		mux.Handle("/raw", raw)
		s.Serve(mux)
		ann, bare := w.come(events.WebSocket, "ann", nil), s.Connect("/raw")
		_ = w.srv.Publish("lobby", "a", nil)
		_ = w.srv.SendUID("ann", "b", nil)
		_ = w.srv.SendAll("c", nil)
		_ = ann.session().PublishOthers("lobby", "d", nil)
		w.Advance(100 * time.Millisecond)
		bare.ExpectNothing()
		got := ann.heard() // of three ways, which have no order between them
		slices.Sort(got)
		if !slices.Equal(got, []string{"a ", "b ", "c "}) {
			t.Errorf("heard %q", got)
		}
		if err := s.Runtime().Publish("lobby", "raw"); err != nil {
			t.Fatal(err)
		}
		bare.Expect("raw")
		ann.expect() // it is no event
		if n := s.Runtime().Len(); n != 2 {
			t.Errorf("%d channels, want 2: what is no event ends nobody", n)
		}
		if !slices.Equal(slices.Collect(w.srv.ByUID("ann")), []*events.Session{ann.session()}) {
			t.Error("ByUID has another's channel")
		}
	})
}
