package events

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
)

// neighbour is a cluster with one other node, which answers as the test says.
type neighbour struct {
	actors.Nodes
	answer func(ctx context.Context, service string, b []byte) ([]byte, error)
}

func (*neighbour) Name() string                        { return "here" }
func (*neighbour) Holders(actors.Set, string) []string { return []string{"there"} }
func (*neighbour) Announce(actors.Set, string, bool)   {}

func (a *neighbour) Ask(ctx context.Context, _, service string, b []byte) ([]byte, error) {
	return a.answer(ctx, service, b)
}

// Who is nobody, and names a session of another node, is let in there by a ticket's secret or
// not at all: no session begins, and nothing that is said goes to that node before.
func TestAStrangerAtTheDoor(t *testing.T) {
	id := newKey()
	id.settle("there")
	ticketed := func(e errand) (report, error) {
		if e.Hello.Down == protocol.DownCheck {
			return report{}, nil
		}
		return report{Kept: 1}, nil
	}
	for what, test := range map[string]struct {
		run    func(errand) (report, error) // on the other node
		full   bool                         // this one carries what it can
		status map[string]int               // by what it wants
		asked  int                          // of those that want no more than to say something
	}{
		"a forged session":    {run: func(errand) (report, error) { return report{Why: protocol.WhyExpired}, nil }, asked: 1, status: all(401, 401)},
		"no ticket's":         {run: func(errand) (report, error) { return report{Stranger: true}, nil }, asked: 1, status: all(401, 401)},
		"a ticket's":          {run: ticketed, asked: 2, status: all(200, 200)},
		"of a ticket of old":  {run: func(errand) (report, error) { return report{Refused: errTicket}, nil }, asked: 1, status: all(errTicket.Status, errTicket.Status)},
		"there is no answer":  {run: func(errand) (report, error) { return report{}, errors.New("lost") }, asked: 1, status: all(503, 503)},
		"too many are served": {run: ticketed, full: true, asked: 2, status: all(503, 200)},
		"there is none in the end": {asked: 2, status: all(503, 503), run: func(e errand) (report, error) {
			if e.Hello.Down == protocol.DownCheck {
				return report{}, nil
			}
			return report{}, errors.New("lost")
		}},
	} {
		for down, want := range test.status {
			srv := newPresence(t, Options{Authorize: func(*http.Request, *Hello) (Identity, error) { return Identity{}, ErrUnauthorized }})
			asked := 0
			srv.nodes = &neighbour{answer: func(_ context.Context, _ string, b []byte) ([]byte, error) {
				asked++
				e, err := parseErrand(b)
				if err != nil || asked == 1 && (e.Hello.Down != protocol.DownCheck || len(e.said) > 0 || len(b) > 512) {
					t.Errorf("%s: it is asked first: %+v, %v", what, e, err)
				}
				did, err := test.run(e)
				if err != nil {
					return nil, err
				}
				return did.append(nil)
			}}
			if test.full {
				srv.errands.Store(mostErrands)
			}
			h, err := json.Marshal(protocol.ClientHello{V: protocol.Version, Client: "c", Session: id.String(), Secret: newKey().String(), Down: down, Data: json.RawMessage(`"` + strings.Repeat("x", 999) + `"`)})
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader("h "+string(h)+"\ne say 1\n")))
			if w.Code != want || srv.Len() != 0 {
				t.Errorf("%s, down %s: %d, want %d, and %d sessions", what, down, w.Code, want, srv.Len())
			}
			if down == protocol.DownNone && asked != test.asked {
				t.Errorf("%s: asked %d times, want %d", what, asked, test.asked)
			}
		}
	}
}

// all is the status of who polls, and of who says something.
func all(poll, none int) map[string]int {
	return map[string]int{protocol.DownPoll: poll, protocol.DownNone: none}
}

// Who is asked whether a hello would do does not let in whom it would not.
func TestACheckForAStranger(t *testing.T) {
	id := newKey()
	id.settle("there")
	for why, status := range map[string]int{"": 200, protocol.WhyExpired: 401} {
		srv := newPresence(t, Options{Authorize: func(*http.Request, *Hello) (Identity, error) { return Identity{}, ErrUnauthorized }})
		srv.nodes = &neighbour{answer: func(context.Context, string, []byte) ([]byte, error) { return (&report{Why: why}).append(nil) }}
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(`h {"v":1,"client":"c","session":"`+id.String()+`","down":"check"}`)))
		if w.Code != status {
			t.Errorf("%q: %d, want %d", why, w.Code, status)
		}
	}
}

// What says much waits for what says much, and not for a connection that it has begun.
func TestMuchIsSaidToOtherNodesALittleAtATime(t *testing.T) {
	srv := newPresence(t, Options{})
	asked, proceed := make(chan struct{}, 9), make(chan struct{})
	srv.nodes = &neighbour{answer: func(context.Context, string, []byte) ([]byte, error) {
		asked <- struct{}{}
		<-proceed
		return (&report{}).append(nil)
	}}
	done := make(chan error, 9)
	send := func(bytes int) { _, err := srv.send(t.Context(), "there", make([]byte, bytes)); done <- err }
	go send(2 * mostSaid) // alone
	<-asked
	go send(muchSaid) // little
	<-asked
	send(muchSaid + 1)
	if err := <-done; err != errBusy {
		t.Error(err)
	}
	close(proceed)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := srv.saying.Load(); n != 0 {
		t.Errorf("%d bytes are counted when nothing is on its way", n)
	}
	send(mostSaid)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
