package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// frame is anything the server says.
type frame struct {
	T       string
	ID      string
	Name    string
	Room    string
	People  []who
	History []line
	From    who
	Who     who
	Was     string
	Text    string
	At      int64
	Rooms   []roomCount
}

// person on the other end of /chat, as the page would be.
type visitor struct {
	t       *testing.T
	peer    *transporttest.Peer
	welcome frame
	last    int64         // At of the newest line
	rooms   [][]roomCount // lists met while reading something else
}

func chatAddress(address, id, name, room string) string {
	return address + "chat?" + url.Values{"id": {id}, "name": {name}, "room": {room}}.Encode()
}

// enterChat connects; the welcome has been read, and must have come first.
func enterChat(t *testing.T, address, id, name, room string, opts ...transporttest.Option) *visitor {
	t.Helper()
	v := &visitor{t: t, peer: dial(t, chatAddress(address, id, name, room), opts...)}
	v.welcomed(room)
	if len(v.rooms) > 0 {
		t.Error("a list of rooms came before the welcome")
	}
	return v
}

func (v *visitor) read() frame {
	v.t.Helper()
	op, data, err := v.peer.ReadMessage(within(v.t))
	if err != nil {
		v.t.Fatal(err)
	}
	var f frame
	if err := json.Unmarshal(data, &f); err != nil || op != 1 {
		v.t.Fatalf("frame %q: %v", data, err)
	}
	return f
}

// next is the next frame that is no list of rooms, and must be of this type.
func (v *visitor) next(kind string) frame {
	v.t.Helper()
	f := v.read()
	for f.T == "rooms" {
		v.rooms = append(v.rooms, f.Rooms)
		f = v.read()
	}
	if f.T != kind {
		v.t.Fatalf("%+v, want %q", f, kind)
	}
	return f
}

func (v *visitor) welcomed(room string) {
	v.t.Helper()
	v.welcome = v.next("welcome")
	if v.welcome.Room != room {
		v.t.Fatalf("welcome to %q, want %q", v.welcome.Room, room)
	}
	v.last = 0
	for _, l := range v.welcome.History {
		v.newer(l.At)
	}
}

func (v *visitor) newer(at int64) {
	v.t.Helper()
	if at <= v.last {
		v.t.Errorf("a line at %d after one at %d", at, v.last)
	}
	v.last = at
}

func (v *visitor) people() (names []string) {
	for _, p := range v.welcome.People {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

func (v *visitor) write(r request) {
	v.t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		v.t.Fatal(err)
	}
	if err := v.peer.WriteText(string(b)); err != nil {
		v.t.Fatal(err)
	}
}

func (v *visitor) say(text string) { v.t.Helper(); v.write(request{T: "say", Text: text}) }

// hears is that exactly these lines come next.
func (v *visitor) hears(texts ...string) {
	v.t.Helper()
	for _, want := range texts {
		f := v.next("msg")
		if f.Text != want {
			v.t.Fatalf("heard %q, want %q", f.Text, want)
		}
		v.newer(f.At)
	}
}

func want[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func TestTwoTalk(t *testing.T) {
	p := startProgram(t)
	ada := enterChat(t, p.ws(""), "a-1", "Ada", "tea room")
	want(t, "Ada is", ada.welcome.ID+" "+ada.welcome.Name, "a-1 Ada")
	want(t, "history", ada.welcome.History, []line{})
	bob := enterChat(t, p.ws(""), "b-2", " Bob  B. ", "tea room")
	want(t, "Bob is tidied", bob.welcome.Name, "Bob B.")
	want(t, "Bob sees", bob.people(), []string{"Ada", "Bob B."})
	want(t, "who joined", ada.next("join").Who, who{"b-2", "Bob B."})

	var said []string
	for i := range 8 {
		for _, v := range []*visitor{ada, bob} {
			text := fmt.Sprintf("<%d> & \"%s\" \u2028 🎭", i, v.welcome.ID)
			said = append(said, text)
			v.say(text)
			ada.hears(text)
			bob.hears(text)
		}
	}
	cleo := enterChat(t, p.ws(""), "c", "Cleo", "tea room")
	var heard []string
	for _, l := range cleo.welcome.History {
		heard = append(heard, l.Text)
	}
	want(t, "history", heard, said)
	want(t, "its author", cleo.welcome.History[1].From, who{"b-2", "Bob B."})

	bob.next("join")
	ada.next("join")
	bob.write(request{T: "typing"})
	want(t, "who types", ada.next("typing").Who, who{"b-2", "Bob B."})
	bob.write(request{T: "typing"}) // told already
	bob.say("typed")
	bob.hears("typed")
	ada.hears("typed")
	bob.write(request{T: "typing"}) // the next message
	want(t, "who types", ada.next("typing").Who, who{"b-2", "Bob B."})
	bob.write(request{T: "name", Name: "Robert"})
	for _, v := range []*visitor{ada, bob} {
		f := v.next("rename")
		want(t, "rename", f.Was+" "+f.Who.Name, "Bob B. Robert")
	}
	bob.say("it is me")
	want(t, "the author", ada.next("msg").From, who{"b-2", "Robert"})
}

func TestRefused(t *testing.T) {
	p := startProgram(t)
	for _, id := range []string{"", "a b", "ä", strings.Repeat("x", 65)} {
		_, resp, _ := transporttest.DialPeer(within(t), chatAddress(p.ws(""), id, "Ada", "x"))
		if resp == nil || resp.StatusCode != 400 {
			t.Errorf("id %q: %v", id, resp)
		}
	}
	long := strings.Repeat("ö", 33)
	for _, bad := range [][2]string{{"", "x"}, {"Ada", " "}, {"A\ada", "x"}, {"Ada", "a\x00b"}, {long, "x"}, {"Ada", long}, {"\u200b", "x"}, {"\xff", "x"}} {
		if e := closeOf(t, dial(t, chatAddress(p.ws(""), "ada", bad[0], bad[1]))); e.Code != 1008 || e.Reason == "" {
			t.Errorf("name and room %q: %v", bad, e)
		}
	}
	enterChat(t, p.ws(""), strings.Repeat("x", 64), long[2:], long[2:])
}

func TestWhatIsNoMessage(t *testing.T) {
	p := startProgram(t)
	ada := enterChat(t, p.ws(""), "ada", "Ada", "x")
	for _, bad := range []string{
		`{"t":"say"}`, `{"t":"say","text":" \n "}`, `{"t":"say","text":"` + strings.Repeat("🎭", 2001) + `"}`,
		`{"t":"name","name":""}`, `{"t":"name","name":"a\u0007b"}`, `{"t":"name","name":"` + strings.Repeat("n", 33) + `"}`,
		`{"t":"room","room":"` + strings.Repeat("n", 33) + `"}`, `{"t":"room"}`, `{"t":"dance"}`, `{}`, `[]`, `nonsense`, ``,
	} {
		if err := ada.peer.WriteText(bad); err != nil {
			t.Fatal(err)
		}
		if f := ada.next("error"); f.Text == "" {
			t.Errorf("%.40s: no words", bad)
		}
	}
	if err := ada.peer.WriteBinary([]byte(`{"t":"say","text":"x"}`)); err != nil {
		t.Fatal(err)
	}
	ada.next("error")
	long := strings.Repeat("🎭", 2000)
	ada.say(long)
	ada.hears(long)
	ada.write(request{T: "name", Name: "Ada"}) // as before: nothing happens
	ada.say("still here")
	ada.hears("still here")
}

// A burst passes at once; more of it is delayed, in order, and none is lost,
// unless it is really much.
func TestPaceDelays(t *testing.T) {
	p := startProgram(t)
	ada := enterChat(t, p.ws(""), "ada", "Ada", "x")
	bob := enterChat(t, p.ws(""), "bob", "Bob", "x")
	ada.next("join")
	var said []string
	for i := range 24 {
		said = append(said, fmt.Sprint(i))
	}
	began := time.Now()
	for _, text := range said {
		ada.say(text)
	}
	bob.hears(said[:20]...)
	bob.hears(said[20:]...)
	if d := time.Since(began); d < 700*time.Millisecond {
		t.Errorf("24 messages took %v", d)
	}
	ada.hears(said...)
	for range waitingRequests + paceBurst + 5 {
		ada.say("flood")
	}
	for {
		if f := ada.read(); f.T == "error" {
			break
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	h, address := startHouse(t, actors.Config{})
	ada := enterChat(t, address, "ada", "Ada", "x")
	c := channelOf(t, h.rt, "ada")
	room := roomOf(t, h.rt)
	for i := range keptLines + 10 {
		send(c, room, &say{c, fmt.Sprint(i)})
	}
	for i := range keptLines + 10 {
		ada.hears(fmt.Sprint(i))
	}
	bob := enterChat(t, address, "bob", "Bob", "x")
	want(t, "lines", len(bob.welcome.History), keptLines)
	want(t, "the first", bob.welcome.History[0].Text, "10")
}

func TestChangingRooms(t *testing.T) {
	h, address := startHouse(t, actors.Config{PresenceGrace: time.Hour})
	ada := enterChat(t, address, "ada", "Ada", "x")
	bob := enterChat(t, address, "bob", "Bob", "x")
	ada.next("join")
	// One after the other without waiting: all in order, each in its room.
	bob.say("in x")
	bob.write(request{T: "room", Room: " y "})
	bob.say("in y")
	bob.write(request{T: "room", Room: "x"})
	bob.say("in x again")
	bob.hears("in x")
	bob.welcomed("y")
	want(t, "in y", bob.people(), []string{"Bob"})
	bob.hears("in y")
	bob.welcomed("x")
	want(t, "history", bob.welcome.History[0].Text, "in x")
	bob.hears("in x again")

	ada.hears("in x")
	want(t, "who left, at once", ada.next("leave").Who.ID, "bob")
	want(t, "who joined", ada.next("join").Who.ID, "bob")
	ada.hears("in x again")

	bob.write(request{T: "room", Room: "x"}) // the one he is in: a new welcome, no more
	bob.welcomed("x")
	bob.say("here")
	ada.hears("here")
	want(t, "members", h.rt.Registry().Count("room/x"), 2)
	want(t, "members", h.rt.Registry().Count("room/y"), 0)
}

func TestRoomsAreListed(t *testing.T) {
	rt := startRuntime(t, actors.Config{PresenceGrace: time.Millisecond})
	lobby := lobbyOf(t, rt, lobbyLimits{listed: 2, every: time.Millisecond})
	address := serveChat(t, rt, lobby, patience)
	ada := enterChat(t, address, "ada", "Ada", "b")
	enterChat(t, address, "bob", "Bob", "b")
	enterChat(t, address, "cleo", "Cleo", "c")
	ada.listed(roomCount{"b", 2}, roomCount{"c", 1})
	dan := enterChat(t, address, "dan", "Dan", "a")
	ada.listed(roomCount{"b", 2}, roomCount{"a", 1})
	dan.listed(roomCount{"b", 2}, roomCount{"a", 1}) // also who comes later
	if err := dan.peer.Disconnect(); err != nil {
		t.Fatal(err)
	}
	ada.listed(roomCount{"b", 2}, roomCount{"c", 1})
}

// listed waits for this list of rooms.
func (v *visitor) listed(rooms ...roomCount) {
	v.t.Helper()
	for {
		if n := len(v.rooms); n > 0 && slices.Equal(v.rooms[n-1], rooms) {
			v.rooms = nil
			return
		}
		if f := v.read(); f.T == "rooms" {
			v.rooms = append(v.rooms, f.Rooms)
		}
	}
}

func TestReloadIsInvisible(t *testing.T) {
	h, address := startHouse(t, actors.Config{PresenceGrace: time.Hour})
	ada := enterChat(t, address, "ada", "Ada", "x")
	bob := enterChat(t, address, "bob", "Bob", "x")
	ada.next("join")
	for range 3 {
		c := channelOf(t, h.rt, "bob")
		if err := bob.peer.Disconnect(); err != nil {
			t.Fatal(err)
		}
		<-c.Done()
		bob = enterChat(t, address, "bob", "Bob", "x")
		want(t, "people", bob.people(), []string{"Ada", "Bob"})
	}
	c := channelOf(t, h.rt, "bob")
	_ = bob.peer.Disconnect()
	<-c.Done()
	bob = enterChat(t, address, "bob", "Robert", "x") // renamed while away
	want(t, "the old name", ada.next("rename").Was, "Bob")
	bob.say("back")
	ada.hears("back")
}

func TestLeavesAfterTheGrace(t *testing.T) {
	_, address := startHouse(t, actors.Config{PresenceGrace: 20 * time.Millisecond})
	ada := enterChat(t, address, "ada", "Ada", "x")
	bob := enterChat(t, address, "bob", "Bob", "x")
	ada.next("join")
	if err := bob.peer.Disconnect(); err != nil {
		t.Fatal(err)
	}
	want(t, "who left", ada.next("leave").Who, who{"bob", "Bob"})
	enterChat(t, address, "bob", "Bob", "x")
	want(t, "who joined", ada.next("join").Who, who{"bob", "Bob"})
}

func TestTwoWindowsAreOnePerson(t *testing.T) {
	h, address := startHouse(t, actors.Config{PresenceGrace: time.Millisecond})
	ada := enterChat(t, address, "ada", "Ada", "x")
	bob := enterChat(t, address, "bob", "Bob", "x")
	ada.next("join")
	c := channelOf(t, h.rt, "bob")
	second := enterChat(t, address, "bob", "Bob", "x")
	want(t, "people", second.people(), []string{"Ada", "Bob"})
	if err := bob.peer.Disconnect(); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	second.say("still here")
	ada.hears("still here")
	third := enterChat(t, address, "bob", "Bob", "x")
	third.write(request{T: "room", Room: "y"})
	third.welcomed("y")
	second.say("still here, with the other window elsewhere")
	ada.hears("still here, with the other window elsewhere")
	if err := second.peer.Disconnect(); err != nil {
		t.Fatal(err)
	}
	want(t, "who left", ada.next("leave").Who.ID, "bob")
}

// A panic costs the message that caused it. The person stays connected, and so
// does everything that is known about the visit.
func TestHandlerFails(t *testing.T) {
	h, address := startHouse(t, actors.Config{})
	ada := enterChat(t, address, "ada", "Ada", "x")
	ada.write(request{T: "name", Name: "Countess"})
	ada.next("rename")
	c := channelOf(t, h.rt, "ada")
	send(c, c.PID(), (*entered)(nil))
	ada.say("still here")
	want(t, "the author", ada.next("msg").From.Name, "Countess")
	want(t, "failures", h.rt.Stats().HandlerFailed, int64(1))
}

// A room that fails goes on with what it knows.
func TestRoomFails(t *testing.T) {
	h, address := startHouse(t, actors.Config{})
	ada := enterChat(t, address, "ada", "Ada", "x")
	ada.say("before")
	ada.hears("before")
	room := roomOf(t, h.rt)
	for range 20 {
		h.rt.System().Root.Send(room, (*say)(nil))
	}
	ada.say("after")
	ada.hears("after")
	bob := enterChat(t, address, "bob", "Bob", "x")
	want(t, "history", len(bob.welcome.History), 2)
}

// A lobby that fails takes the rooms with it; everybody enters again.
func TestLobbyFails(t *testing.T) {
	h, address := startHouse(t, actors.Config{})
	ada := enterChat(t, address, "ada", "Ada", "x")
	bob := enterChat(t, address, "bob", "Bob", "x")
	ada.next("join")
	h.rt.System().Root.Send(h.lobby, (*enter)(nil))
	for _, v := range []*visitor{ada, bob} {
		for v.welcome = (frame{}); v.welcome.T != "welcome"; {
			v.welcome = v.read()
		}
	}
	ada.say("hello again")
	for f := (frame{}); f.Text != "hello again"; {
		f = bob.read()
	}
	want(t, "members", h.rt.Registry().Count("room/x"), 2)
}

// Who is not let in asks again.
func TestAsksAgain(t *testing.T) {
	rt := startRuntime(t, actors.Config{})
	lobby := lobbyOf(t, rt, lobbyLimits{})
	deaf := true
	door := rt.System().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case *enter:
			if deaf = !deaf; deaf {
				ctx.Forward(lobby)
			}
		case *subscribe:
			ctx.Forward(lobby)
		}
	}))
	address := serveChat(t, rt, door, 10*time.Millisecond)
	ada := enterChat(t, address, "ada", "Ada", "x")
	ada.write(request{T: "room", Room: "y"})
	ada.say("in y")
	ada.welcomed("y")
	ada.hears("in y")
}

func TestTooManyRooms(t *testing.T) {
	rt := startRuntime(t, actors.Config{PresenceGrace: time.Hour})
	lobby := lobbyOf(t, rt, lobbyLimits{rooms: 2})
	address := serveChat(t, rt, lobby, patience)
	ada := enterChat(t, address, "ada", "Ada", "x")
	bob := enterChat(t, address, "bob", "Bob", "y")
	ada.write(request{T: "room", Room: "z"})
	ada.next("error")
	ada.say("still in x")
	ada.hears("still in x")
	if e := closeOf(t, dial(t, chatAddress(address, "cleo", "Cleo", "z"))); e.Code != 1013 {
		t.Errorf("close %v, want 1013", e)
	}
	bob.write(request{T: "room", Room: "x"}) // y is empty now: it makes place
	bob.welcomed("x")
	ada.next("join")
	ada.write(request{T: "room", Room: "z"})
	ada.welcomed("z")
}

func TestEmptyRoomsAreForgotten(t *testing.T) {
	rt := startRuntime(t, actors.Config{})
	lobby := lobbyOf(t, rt, lobbyLimits{keep: time.Millisecond})
	address := serveChat(t, rt, lobby, patience)
	ada := enterChat(t, address, "ada", "Ada", "x")
	ada.say("remember me")
	ada.hears("remember me")
	for end := time.Now().Add(limit); ; {
		ada.write(request{T: "room", Room: "y"})
		ada.welcomed("y")
		ada.write(request{T: "room", Room: "x"})
		ada.welcomed("x")
		if len(ada.welcome.History) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the history is still there")
		}
	}
}

func TestPace(t *testing.T) {
	var p pace
	now := time.Unix(1e9, 0)
	for n := range paceBurst {
		if wait := p.take(now); wait != 0 {
			t.Fatalf("token %d: wait %v", n, wait)
		}
	}
	const each = time.Second / paceSecond
	if wait := p.take(now); wait != each {
		t.Errorf("the next: wait %v, want %v", wait, each)
	}
	if now = now.Add(each); p.take(now) != 0 || p.take(now) != each {
		t.Error("one token a time")
	}
	now = now.Add(time.Hour)
	for n := range paceBurst {
		if wait := p.take(now); wait != 0 {
			t.Fatalf("full again, token %d: wait %v", n, wait)
		}
	}
	if p.take(now) == 0 {
		t.Error("and not more than full")
	}
}

func lobbyOf(t *testing.T, rt *actors.Runtime, limits lobbyLimits) *actor.PID {
	t.Helper()
	lobby, err := spawnLobby(rt, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.System().Root.StopFuture(lobby).Wait() })
	return lobby
}

func serveChat(t *testing.T, rt *actors.Runtime, lobby *actor.PID, patience time.Duration) (address string) {
	t.Helper()
	ep, err := chatEndpoint(rt, lobby, patience)
	if err != nil {
		t.Fatal(err)
	}
	return serveHTTP(t, rt, ep)
}

// channelOf is the one channel of a person who has entered.
func channelOf(t *testing.T, rt *actors.Runtime, id string) *actors.Channel {
	t.Helper()
	var found *actors.Channel
	for c := range rt.ByUID(id) {
		if found != nil {
			t.Fatal(errors.New(id + " has several channels"))
		}
		found = c
	}
	if found == nil {
		t.Fatal(id + " has no channel")
	}
	return found
}

// roomOf is the actor of the only room there is.
func roomOf(t *testing.T, rt *actors.Runtime) *actor.PID {
	t.Helper()
	var rooms []string
	for _, bucket := range rt.System().ProcessRegistry.LocalPIDs.LocalPIDs {
		for _, id := range bucket.Keys() {
			if strings.HasPrefix(id, "lobby/") {
				rooms = append(rooms, id)
			}
		}
	}
	if len(rooms) != 1 {
		t.Fatalf("rooms %q", rooms)
	}
	return rt.System().NewLocalPID(rooms[0])
}
