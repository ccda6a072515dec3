package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/examples/internal/exampletest"
)

// The chat, played on every transport.
func TestChat(t *testing.T) {
	for _, how := range []client.Transport{client.WebSocket, client.SSE, client.Poll} {
		t.Run(string(how), func(t *testing.T) {
			rt := exampletest.Start(t, actors.Config{})
			srv, err := newChat(rt)
			if err != nil {
				t.Fatal(err)
			}
			url := exampletest.Serve(t, routes(srv))
			playSaying(t, url, 6, how)
			playPresence(t, url, 6, how)
			playQuestions(t, url, 6, how)
			playCuts(t, url, 6, how)
		})
	}
}

// person is somebody in the chat.
type person struct {
	*testing.T
	*client.Client
	said chan Said
	here chan events.Diff
}

// enter has somebody come, who ends with the test.
func enter(t *testing.T, url, name string, how ...client.Transport) *person {
	t.Helper()
	p := &person{T: t, said: make(chan Said, 100), here: make(chan events.Diff, 100)}
	c, err := client.Dial(exampletest.Within(t), url+"/events", client.Options{
		Client:     name + "-1",
		Transports: how,
		Token:      func(context.Context) (string, error) { return name, nil },
		Handle: func(c *client.Client) {
			client.On(c, "said", func(_ context.Context, m Said) { p.said <- m })
			client.On(c, "here", func(_ context.Context, d events.Diff) { p.here <- d })
			client.Answer(c, "confirm", func(context.Context, string) (bool, error) { return name == "ann", nil })
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Client = c
	t.Cleanup(p.leave)
	return p
}

func (p *person) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // the test's own may have ended
	defer cancel()
	if err := p.Close(ctx); err != nil && !errors.Is(err, client.ErrClosed) {
		p.Error(err)
	}
	<-p.Done()
}

func (p *person) say(text string) {
	p.Helper()
	if err := p.Send(exampletest.Within(p.T), "say", Say{text}); err != nil {
		p.Fatal(err)
	}
}

// hear is what somebody is told next.
func hear[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-exampletest.Within(t).Done():
		t.Fatal("nothing came")
	}
	return v
}

func (p *person) expect(step int, who, text string) {
	p.Helper()
	if step == 1 {
		who = "somebody"
	}
	if m := hear(p.T, p.said); m.Who != who || m.Text != text {
		p.Fatalf("heard %+v, want %s of %s", m, text, who)
	}
}

// What is said is heard by everybody, and step 2 lets nobody in who has no name.
func playSaying(t *testing.T, url string, step int, how ...client.Transport) {
	ann, bob := enter(t, url, "ann", how...), enter(t, url, "bob", how...)
	ann.say("hello")
	ann.expect(step, "ann", "hello")
	bob.expect(step, "ann", "hello")
	ann.leave()
	bob.leave()

	// As curl would.
	hello := post(t, url, `h {"v":1,"client":"me","token":"me","down":"poll"}`+"\n"+`e say {"text":"hello"}`)
	var h struct{ Session, Secret string }
	if line, ok := strings.CutPrefix(hello, "h "); !ok || json.NewDecoder(strings.NewReader(line)).Decode(&h) != nil {
		t.Fatal(hello)
	}
	post(t, url, fmt.Sprintf(`h {"v":1,"client":"me","token":"me","session":%q,"secret":%q,"from":1,"down":"poll"}`, h.Session, h.Secret)+
		"\n"+`b {"code":1000,"end":true}`)
	if step == 1 {
		return
	}
	var refused *client.Refused
	if _, err := client.Dial(exampletest.Within(t), url+"/events", client.Options{Client: "nobody"}); !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
		t.Errorf("nobody is let in: %v", err)
	}
	for path, want := range map[string]string{"/": "<title>chat</title>", "/chat.js": `from "/troupe.js"`, "/troupe.js": "connect"} {
		r, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %v", path, body, err)
		}
	}
}

func post(t *testing.T, url, body string) string {
	t.Helper()
	r, err := http.Post(url+"/events", "", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", r.Status, answer, err)
	}
	return string(answer)
}

// Who comes is told who is here.
func playPresence(t *testing.T, url string, _ int, how ...client.Transport) {
	ann := enter(t, url, "ann", how...)
	for d := hear(t, ann.here); !d.All || !slices.Contains(d.Joined, "ann"); d = hear(t, ann.here) {
	}
	carl := enter(t, url, "carl", how...)
	for d := hear(t, ann.here); !slices.Contains(d.Joined, "carl"); d = hear(t, ann.here) {
	}
	for d := hear(t, carl.here); !d.All || !slices.Contains(d.Joined, "ann"); d = hear(t, carl.here) {
	}
	carl.leave()
	ann.leave()
}

// The history is answered, and forgotten by who confirms it.
func playQuestions(t *testing.T, url string, _ int, how ...client.Transport) {
	ann, bob := enter(t, url, "ann", how...), enter(t, url, "bob", how...)
	ctx := exampletest.Within(t)
	ann.say("one")
	ann.say("two")
	bob.expect(4, "ann", "one")
	bob.expect(4, "ann", "two")
	said, err := client.Ask[[]Said](ctx, bob.Client, "history", 2)
	if err != nil || len(said) != 2 || said[0].Text != "one" || said[1].Text != "two" {
		t.Errorf("%+v: %v", said, err)
	}
	var e *client.Error
	if _, err := client.Ask[[]Said](ctx, bob.Client, "history", 0); !errors.As(err, &e) || e.Code != "range" {
		t.Error(err)
	}
	for _, p := range []struct {
		*person
		forgets bool
		left    int
	}{{bob, false, 2}, {ann, true, 0}} {
		if done, err := client.Ask[bool](ctx, p.Client, "forget", nil); err != nil || done != p.forgets {
			t.Errorf("%t: %v", done, err)
		}
		if said, err := client.Ask[[]Said](ctx, p.Client, "history", 2); err != nil || len(said) != p.left {
			t.Errorf("%+v: %v", said, err)
		}
	}
	ann.leave()
	bob.leave()
}

// Cuts lose nothing and double nothing.
func playCuts(t *testing.T, url string, step int, how ...client.Transport) {
	ann, bob := enter(t, url, "ann", how...), enter(t, url, "bob", how...)
	texts := strings.Split("abcdefghijklmnopqrstuvwxyz", "")
	for i, text := range texts {
		ann.say(text)
		if i%5 == 0 {
			ann.Break()
		}
		if i%7 == 0 {
			bob.Break()
		}
	}
	for _, text := range texts {
		bob.expect(step, "ann", text)
	}
	for _, text := range texts {
		ann.expect(step, "ann", text)
	}
	ann.leave()
	bob.leave()
}
