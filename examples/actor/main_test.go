package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// floor is a service under test.
type floor struct {
	*service
	t   *testing.T
	url string
}

func open(t *testing.T) *floor {
	system := exampletest.System()
	t.Cleanup(system.Shutdown)
	s := newService(exampletest.Start(t, actors.Config{System: system}))
	return &floor{s, t, exampletest.Serve(t, s.routes())}
}

// enter is a client with the id of its channel.
func (f *floor) enter() (*exampletest.Client, string) {
	f.t.Helper()
	c := exampletest.Dial(f.t, f.url+"/trade")
	greeting, _ := c.Hear()
	id, ok := strings.CutPrefix(greeting, "hello ")
	if !ok {
		f.t.Fatalf("greeted with %q", greeting)
	}
	return c, id
}

func (f *floor) price(symbol, value string) {
	f.t.Helper()
	f.do(http.MethodPut, "/prices/"+symbol, value, http.StatusAccepted)
}

// asks asks the trader of a channel what its client has seen.
func (f *floor) asks(id string) map[string]float64 {
	f.t.Helper()
	var seen map[string]float64
	if err := json.Unmarshal([]byte(f.do(http.MethodGet, "/traders/"+id, "", http.StatusOK)), &seen); err != nil {
		f.t.Fatal(err)
	}
	return seen
}

func (f *floor) do(method, path, body string, status int) string {
	f.t.Helper()
	req, err := http.NewRequestWithContext(exampletest.Within(f.t), method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := resp.Write(&b); err != nil || resp.StatusCode != status {
		f.t.Fatalf("%s %s: %s, %v, want %d", method, path, resp.Status, err, status)
	}
	_, answer, _ := strings.Cut(b.String(), "\r\n\r\n")
	return answer
}

// watchers waits until so many watch a symbol.
func (f *floor) watchers(symbol string, want int) {
	f.t.Helper()
	ctx := exampletest.Within(f.t)
	var got any
	for ctx.Err() == nil {
		var err error
		if got, err = f.system.Root.RequestFuture(f.market, &Count{symbol}, time.Second).Result(); err != nil {
			f.t.Fatal(err)
		}
		if got == want {
			return
		}
	}
	f.t.Fatalf("%v watch %s, want %d", got, symbol, want)
}

func TestPricesArePushedByPID(t *testing.T) {
	f := open(t)
	ann, _ := f.enter()
	bob, _ := f.enter()
	ann.Say("watch ACME")
	bob.Say("watch ACME")
	f.watchers("ACME", 2)
	f.price("ACME", "101.5")
	ann.Expect("ACME 101.50")
	bob.Expect("ACME 101.50")

	f.price("OTHER", "7")
	ann.Say("watch OTHER") // already has a price
	ann.Expect("OTHER 7.00")
	bob.Say("help")
	bob.Expect("commands: watch SYMBOL")
}

func TestTheMarketForgetsWhoHasGone(t *testing.T) {
	f := open(t)
	ann, _ := f.enter()
	bob, _ := f.enter()
	ann.Say("watch ACME")
	bob.Say("watch ACME")
	f.watchers("ACME", 2)
	ann.Leave()
	f.watchers("ACME", 1)
	if err := bob.Peer.Reset(); err != nil {
		t.Fatal(err)
	}
	f.watchers("ACME", 0)
}

func TestAChannelAnswersARequest(t *testing.T) {
	f := open(t)
	ann, id := f.enter()
	ann.Say("watch ACME")
	f.watchers("ACME", 1)
	f.price("ACME", "99.25")
	ann.Expect("ACME 99.25")
	if got, want := f.asks(id), map[string]float64{"ACME": 99.25}; !maps.Equal(got, want) {
		t.Errorf("asked, it says %v, want %v", got, want)
	}
	f.do(http.MethodGet, "/traders/nobody", "", http.StatusNotFound)
}

func TestACrashCostsTheHandlerAndNotTheSocket(t *testing.T) {
	f := open(t)
	ann, id := f.enter()
	bob, _ := f.enter()
	ann.Say("watch ACME")
	f.watchers("ACME", 1)
	f.price("ACME", "1")
	ann.Expect("ACME 1.00")

	ann.Say("watch") // and no symbol
	ann.Expect("sorry, that was too much for me")
	if got := f.asks(id); len(got) != 0 {
		t.Errorf("a fresh trader has seen %v", got)
	}
	f.price("ACME", "2") // the PID is the same
	ann.Expect("ACME 2.00")
	if got, want := f.asks(id), map[string]float64{"ACME": 2}; !maps.Equal(got, want) {
		t.Errorf("asked, it says %v, want %v", got, want)
	}
	bob.Say("help") // and bob has noticed nothing
	bob.Expect("commands: watch SYMBOL")
	if got := f.rt.Stats().HandlerFailed; got != 1 {
		t.Errorf("%d handlers failed, want 1", got)
	}

	for range 3 { // four within half a minute are too many
		ann.Say("")
	}
	ann.Expect("sorry, that was too much for me", "sorry, that was too much for me")
	ann.ExpectClose(1011)
	f.watchers("ACME", 0)
}

func TestAPriceIsANumber(t *testing.T) {
	f := open(t)
	for _, bad := range []string{"", "much", "NaN", "Inf", "-1", "0", "1e300"} {
		f.do(http.MethodPut, "/prices/ACME", bad, http.StatusBadRequest)
	}
}
