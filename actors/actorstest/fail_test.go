package actorstest

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// judged is a test whose failure is what is to be seen.
type judged struct {
	testing.TB
	failed bool
	log    strings.Builder
}

func (j *judged) Helper()      {}
func (j *judged) Failed() bool { return j.failed }

func (j *judged) Logf(format string, args ...any) { fmt.Fprintf(&j.log, format+"\n", args...) }

func (j *judged) Errorf(format string, args ...any) {
	j.failed = true
	j.Logf(format, args...)
}

func (j *judged) Fatalf(format string, args ...any) {
	j.Errorf(format, args...)
	runtime.Goexit()
}

func (j *judged) Fatal(args ...any) { j.Fatalf("%s", fmt.Sprint(args...)) }

// TestFailuresSayWhatWasExpectedAndWhatCame has one Sim for each mistake.
func TestFailuresSayWhatWasExpectedAndWhatCame(t *testing.T) {
	echo := actors.Callbacks{Message: func(c *actors.Channel, m actors.Message) {
		switch m.String() {
		case "boom":
			panic("boom")
		case "hang":
			time.Sleep(31 * time.Second)
		}
		c.Send(m)
	}}
	for _, test := range []struct {
		name string
		do   func(s *Sim)
		want []string
	}{{
		name: "another message",
		do: func(s *Sim) {
			ann := s.Connect("/", Name("ann"))
			ann.Send("hi")
			ann.Expect("ho")
		},
		want: []string{`ann: want "ho", got "hi"`, `→ GET /`, `← 101`, `→ "hi"`, `← "hi"`, "TROUPE_SEED=7 go test -run '^"},
	}, {
		name: "no message",
		do:   func(s *Sim) { s.Connect("/").Expect("hi") },
		want: []string{`/ #1: want "hi", and nothing came`},
	}, {
		name: "a message too many",
		do: func(s *Sim) {
			ann := s.Connect("/")
			ann.Send("hi")
			ann.ExpectNothing()
		},
		want: []string{`want nothing, got "hi"`},
	}, {
		name: "another cause",
		do: func(s *Sim) {
			ann := s.Connect("/")
			ann.Break()
			ann.ExpectClosed(supervisor.CauseKicked)
		},
		want: []string{"want the channel closed by kicked, it was by connection-lost", "link breaks"},
	}, {
		name: "no end",
		do:   func(s *Sim) { s.Connect("/").ExpectClosed(supervisor.CauseKicked) },
		want: []string{"want the channel closed by kicked, and it is open"},
	}, {
		name: "another close",
		do: func(s *Sim) {
			ann := s.Connect("/")
			ann.Channel().Kick("go away")
			ann.ExpectClose(1000)
		},
		want: []string{`want a close with 1000, got 1008 "go away"`, "answers a close"},
	}, {
		name: "a stream's bytes",
		do: func(s *Sim) {
			c := s.ConnectStream("/")
			c.Channel().Send("abcdef")
			c.Expect("abc", "dxf")
		},
		want: []string{`want "dxf", got "def"`},
	}, {
		name: "a refusal",
		do:   func(s *Sim) { s.Connect("/none") },
		want: []string{"want a WebSocket, got the status 404 Not Found"},
	}, {
		name: "an event",
		do:   func(s *Sim) { ExpectEvent[supervisor.Lost](s) },
		want: []string{"want an event supervisor.Lost, got\n(none)"},
	}, {
		name: "nobody serves",
		do:   func(s *Sim) { s.srv = nil; s.Connect("/") },
		want: []string{"call Serve first"},
	}, {
		name: "a panic that nobody asked for",
		do: func(s *Sim) {
			s.Connect("/").Send("boom")
			s.Wait()
		},
		want: []string{"nobody asked for this: handler-failed", "reason=boom", "fail_test.go"},
	}, {
		name: "a handler that was stuck",
		do: func(s *Sim) {
			s.Connect("/").Send("hang")
			s.Advance(time.Minute)
		},
		want: []string{"nobody asked for this: handler-stuck"},
	}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := &judged{TB: t}
				done := make(chan struct{})
				go func() { // which Fatal ends
					defer close(done)
					run(j, 7, actors.Config{}, func(s *Sim) {
						mux := newMux(s, echo)
						s.Serve(mux)
						srv := s.srv
						defer func() { s.srv = srv }()
						test.do(s)
					})
				}()
				<-done
				for _, want := range test.want {
					if !strings.Contains(j.log.String(), want) {
						t.Errorf("want %q in\n%s", want, &j.log)
					}
				}
				if !j.failed {
					t.Error("the test has not failed")
				}
			})
		})
	}
}

// TestWhatIsLeftIsFound looks at books that do not balance.
func TestWhatIsLeftIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &judged{TB: t}
		run(j, 7, actors.Config{}, func(s *Sim) {
			s.Serve(newMux(s, actors.Callbacks{}))
			ann := s.Connect("/")
			id := ann.Channel().ID()
			ann.HangUp()
			ann.ExpectClosed(supervisor.CauseConnectionLost)
			s.hear(supervisor.Closed{ID: id}) // once more
		})
		if want := "was opened 1 times and closed 2 times"; !strings.Contains(j.log.String(), want) {
			t.Errorf("want %q in %s", want, &j.log)
		}
	})
}

func newMux(s *Sim, b actors.Behavior) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/{$}", s.Runtime().Handler(b))
	return mux
}
