package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/supervisor"
)

// The tests of this file are what those of an application look like: all of its
// routes, on virtual time, with links that fail.

func simulate(t *testing.T, test func(s *actorstest.Sim)) {
	t.Helper()
	actorstest.Run(t, actors.Config{}, func(s *actorstest.Sim) {
		h, err := routes(s.Runtime())
		if err != nil {
			s.Fatal(err)
		}
		s.Serve(h)
		test(s)
	})
}

func TestSomebodyWhoseLinkBreaksHasLeftAfterTheGrace(t *testing.T) {
	simulate(t, func(s *actorstest.Sim) {
		ann, bob := s.Connect("/chat?user=ann"), s.Connect("/chat?user=bob")
		ann.Expect("* you are in lobby with ann", "* bob came")
		bob.Break()
		bob.ExpectClosed(supervisor.CauseConnectionLost)
		s.Advance(actors.DefaultPresenceGrace - time.Second)
		ann.ExpectNothing() // he may be reloading the page
		s.Advance(time.Second)
		ann.Expect("* bob left")
	})
}

func TestSomebodyWhoVanishesIsFoundByThePing(t *testing.T) {
	actorstest.Run(t, actors.Config{}, func(s *actorstest.Sim) {
		h, err := routes(s.Runtime()) // all handlers, and what is around them
		if err != nil {
			s.Fatal(err)
		}
		s.Serve(h)
		ann, bob := s.Connect("/chat?user=ann"), s.Connect("/chat?user=bob")
		ann.Expect("* you are in lobby with ann", "* bob came")
		bob.Vanish() // no packet comes or goes, and nobody says so
		s.Advance(actors.DefaultPingInterval + actors.DefaultPongTimeout)
		bob.ExpectClosed(supervisor.CausePongTimeout)
		s.Advance(actors.DefaultPresenceGrace)
		ann.Expect("* bob left")
	})
}

func TestACrashKeepsTheConnectionAndTheRoom(t *testing.T) {
	simulate(t, func(s *actorstest.Sim) {
		ann, bob := s.Connect("/chat?user=ann"), s.Connect("/chat?user=bob")
		ann.ExpectLater("* bob came")
		ann.Crash()
		bob.Send("still there?")
		ann.Expect("bob: still there?")
	})
}

func TestALinkThatIsCutAnywhereHarmsNobodyElse(t *testing.T) {
	actorstest.Seeds(t, 20, func(t *testing.T, seed uint64) {
		actorstest.RunSeed(t, seed, actors.Config{PresenceGrace: -1}, func(s *actorstest.Sim) {
			h, err := routes(s.Runtime())
			if err != nil {
				s.Fatal(err)
			}
			s.Serve(h)
			ann := s.Connect("/chat?user=ann", actorstest.Split())
			bob := s.Connect("/chat?user=bob", actorstest.Split())
			ann.ExpectLater("* bob came")
			bob.BreakWithin(200)
			for range 20 {
				ann.Send("0123456789")
				ann.ExpectLater("ann: 0123456789")
			}
			bob.ExpectClosed(supervisor.CauseConnectionLost)
		})
	})
}

func TestAUserIsWhoTheRequestSays(t *testing.T) {
	simulate(t, func(s *actorstest.Sim) {
		s.ExpectRefused(http.StatusForbidden, "/chat")
	})
}
