package main

import (
	"net/http"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/examples/internal/exampletest"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// serve starts the chat and returns the address that a user dials.
func serve(t *testing.T, cfg actors.Config) func(user string) *exampletest.Client {
	t.Helper()
	h, err := routes(exampletest.Start(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	url := exampletest.Serve(t, h)
	return func(user string) *exampletest.Client { return exampletest.Dial(t, url+"/chat?user="+user) }
}

func TestARoomHearsWhatIsSaidAndWhoIsThere(t *testing.T) {
	dial := serve(t, actors.Config{PresenceGrace: -1})
	ann := dial("ann")
	ann.Expect("* you are in lobby with ann")
	bob := dial("bob")
	bob.Expect("* you are in lobby with ann, bob")
	ann.Expect("* bob came")

	ann.Say("hello")
	ann.Expect("ann: hello")
	bob.Expect("ann: hello")

	bob.Say("/name Robert")
	bob.Expect("* bob is called Robert now")
	ann.Expect("* bob is called Robert now")
	bob.Say("hi ann")
	ann.Expect("Robert: hi ann")
	bob.Expect("Robert: hi ann")

	bob.Leave()
	ann.Expect("* bob left")
	ann.Say("/who")
	ann.Expect("* here: ann")
}

func TestRoomsAreApart(t *testing.T) {
	dial := serve(t, actors.Config{PresenceGrace: -1})
	ann, bob := dial("ann"), dial("bob")
	ann.Say("/join kitchen")
	until(t, ann, "* you are in kitchen with ann")
	bob.Say("/join kitchen")
	until(t, bob, "* you are in kitchen with ann, bob")
	ann.Expect("* bob came")

	carl := dial("carl")
	carl.Expect("* you are in lobby with carl")
	ann.Say("only here")
	bob.Expect("ann: only here")
	carl.Say("and here")
	carl.Expect("carl: and here")

	carl.Say("/join kitchen")
	carl.Expect("* you are in kitchen with ann, bob, carl")
	bob.Expect("* carl came")
	carl.Say("/join lobby")
	bob.Expect("* carl left")
}

func TestAReloadIsInvisible(t *testing.T) {
	dial := serve(t, actors.Config{}) // a grace of 5 s
	ann := dial("ann")
	ann.Expect("* you are in lobby with ann")
	bob := dial("bob")
	ann.Expect("* bob came") // news and messages overtake each other
	bob.Say("first")
	ann.Expect("bob: first")

	bob.Leave()
	bob = dial("bob")
	bob.Expect("* you are in lobby with ann, bob")
	bob.Say("second")
	ann.Expect("bob: second") // and nothing in between
}

func TestUnknownCommandsAreExplained(t *testing.T) {
	ann := serve(t, actors.Config{})("ann")
	ann.Hear()
	for _, s := range []string{"/", "/nonsense", "/join", "/join ", "/name"} {
		ann.Say(s)
		ann.Expect("* /join ROOM, /name NAME or /who")
	}
}

func TestNobodyComesInWithoutAName(t *testing.T) {
	h, err := routes(exampletest.Start(t, actors.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	_, resp, err := transporttest.DialPeer(exampletest.Within(t), exampletest.Serve(t, h)+"/chat")
	if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Fatalf("got %v, %v, want 403", resp, err)
	}
}

// until waits for a message and passes over all before it.
func until(t *testing.T, c *exampletest.Client, want string) {
	t.Helper()
	for {
		got, closed := c.Hear()
		if closed != nil {
			t.Fatalf("%v while waiting for %q", closed, want)
		}
		if got == want {
			return
		}
	}
}
