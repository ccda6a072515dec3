package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events"
)

// frame is anything the server says: T is the event.
type frame struct {
	T       string
	N       uint64
	ID      string
	Name    string
	Room    string
	Node    string
	People  []who
	History []line
	Key     string
	From    who
	Who     who
	Was     string
	Text    string
	Why     string
	Event   string
	At      int64
	Rooms   []roomCount
}

var spoken = []string{"welcome", "said", "joined", "left", "renamed", "typing", "rooms", "unsaid", "wrong"}

// person on the other end of /chat, as the page would be.
type visitor struct {
	t       *testing.T
	client  *client.Client
	came    *inbox
	welcome frame
	last    int64         // At of the newest line
	from    string        // its Node
	rooms   [][]roomCount // lists met while reading something else
	asked   uint64        // N of the last "enter"
}

// inbox is what has come and was not read yet.
type inbox struct {
	mu     sync.Mutex
	frames []frame
	grown  chan struct{} // holds a token when there is more
}

func (in *inbox) push(f frame) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.frames = append(in.frames, f)
	select {
	case in.grown <- struct{}{}:
	default:
	}
}

func (in *inbox) pop() (f frame, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.frames) == 0 {
		return f, false
	}
	f, in.frames = in.frames[0], in.frames[1:]
	return f, true
}

// carriers are dealt out to visitors in turn: it makes no difference to anything what
// carries a session.
var carriers = []client.Transport{client.WebSocket, client.SSE, client.Poll}

var dealt atomic.Int64

// connect brings a visitor as far as a session.
func connect(t *testing.T, address, id string, change ...func(*client.Options)) *visitor {
	t.Helper()
	v := &visitor{t: t, came: &inbox{grown: make(chan struct{}, 1)}}
	t.Cleanup(func() {
		if v.client != nil {
			v.vanish()
		}
	})
	o := client.Options{Client: id, Transports: []client.Transport{carriers[int(dealt.Add(1))%len(carriers)]}}
	for _, f := range change {
		f(&o)
	}
	c, err := client.New(address+"chat", o)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range spoken {
		client.On(c, name, func(_ context.Context, f frame) {
			f.T = name
			v.came.push(f)
		})
	}
	v.client = c
	if err := c.Connect(within(t)); err != nil {
		t.Fatal(err)
	}
	return v
}

// enterChat connects; the welcome has been read, and must have come first.
func enterChat(t *testing.T, address, id, name, room string, change ...func(*client.Options)) *visitor {
	t.Helper()
	v := connect(t, address, id, change...)
	v.enter(name, room)
	v.welcomed(room)
	if len(v.rooms) > 0 {
		t.Error("a list of rooms came before the welcome")
	}
	return v
}

// over has the client use this transport alone.
func over(carrier client.Transport) func(*client.Options) {
	return func(o *client.Options) { o.Transports = []client.Transport{carrier} }
}

// never is the Backoff of a client that shall not come back.
func never(int, time.Duration) time.Duration { return time.Hour }

// untilTold has the client not come back from an absence before it is told to.
func untilTold(t *testing.T) (comeBack func(), away func(*client.Options)) {
	told := make(chan struct{})
	comeBack = sync.OnceFunc(func() { close(told) })
	return comeBack, func(o *client.Options) {
		t.Cleanup(comeBack)
		o.Backoff = func(int, time.Duration) time.Duration {
			<-told
			return 0
		}
	}
}

// vanish leaves without a word: the session waits for its grace.
func (v *visitor) vanish() {
	v.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = v.client.Close(ctx)
	select {
	case <-v.client.Done():
	case <-within(v.t).Done():
		v.t.Error("a handler does not return")
	}
}

// disconnected waits for a goodbye with this code, after which the client would come back.
func (v *visitor) disconnected(code uint16) {
	v.t.Helper()
	waiting := make(chan error, 1)
	look := func(now, _ client.State) {
		if now.Phase == client.Waiting {
			select {
			case waiting <- now.Err:
			default:
			}
		}
	}
	defer v.client.Watch(look)()
	look(v.client.State(), client.State{})
	select {
	case err := <-waiting:
		if !strings.Contains(err.Error(), strconv.Itoa(int(code))) {
			v.t.Errorf("disconnected: %v, want %d", err, code)
		}
	case <-within(v.t).Done():
		v.t.Fatal("is still connected")
	}
}

// sentAway waits for the end that the server has decided, and is its code and reason.
func (v *visitor) sentAway() *client.Closed {
	v.t.Helper()
	select {
	case <-v.client.Done():
	case <-within(v.t).Done():
		v.t.Fatal("was not sent away")
	}
	var closed *client.Closed
	if !errors.As(v.client.State().Err, &closed) {
		v.t.Fatalf("ended with %v", v.client.State().Err)
	}
	return closed
}

func (v *visitor) read() frame {
	v.t.Helper()
	ctx := within(v.t)
	for {
		if f, ok := v.came.pop(); ok {
			return f
		}
		select {
		case <-v.came.grown:
		case <-v.client.Done():
			v.t.Fatalf("the session has ended: %v", v.client.State().Err)
		case <-ctx.Done():
			v.t.Fatal("nothing comes")
		}
	}
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
		v.newer(l.At, l.Node)
	}
}

// newer is that lines come by their time, and those of one node never have the same.
func (v *visitor) newer(at int64, node string) {
	v.t.Helper()
	if at < v.last || at == v.last && node == v.from {
		v.t.Errorf("a line at %d after one at %d", at, v.last)
	}
	v.last, v.from = at, node
}

func (v *visitor) people() (names []string) {
	for _, p := range v.welcome.People {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

func (v *visitor) send(event string, data any) {
	v.t.Helper()
	if err := v.client.Send(within(v.t), event, data); err != nil {
		v.t.Fatal(err)
	}
}

func (v *visitor) enter(name, room string) {
	v.t.Helper()
	v.asked++
	v.send("enter", entering{v.asked, name, room})
}

func (v *visitor) say(text string) { v.t.Helper(); v.send("say", saying{Text: text}) }

// hears is that exactly these lines come next.
func (v *visitor) hears(texts ...string) {
	v.t.Helper()
	for _, want := range texts {
		f := v.next("said")
		if f.Text != want {
			v.t.Fatalf("heard %q, want %q", f.Text, want)
		}
		v.newer(f.At, f.Node)
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
	ada := enterChat(t, p.url, "a-1", "Ada", "tea room")
	want(t, "Ada is", ada.welcome.ID+" "+ada.welcome.Name, "a-1 Ada")
	want(t, "history", ada.welcome.History, []line{})
	bob := enterChat(t, p.url, "b-2", " Bob  B. ", "tea room")
	want(t, "Bob is tidied", bob.welcome.Name, "Bob B.")
	want(t, "Bob sees", bob.people(), []string{"Ada", "Bob B."})
	want(t, "who joined", ada.next("joined").Who, who{"b-2", "Bob B."})

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
	cleo := enterChat(t, p.url, "c", "Cleo", "tea room")
	var heard []string
	for _, l := range cleo.welcome.History {
		heard = append(heard, l.Text)
	}
	want(t, "history", heard, said)
	want(t, "its author", cleo.welcome.History[1].From, who{"b-2", "Bob B."})

	bob.next("joined")
	ada.next("joined")
	bob.send("typing", nil)
	want(t, "who types", ada.next("typing").Who, who{"b-2", "Bob B."})
	bob.send("typing", nil) // told already
	bob.say("typed")
	bob.hears("typed")
	ada.hears("typed")
	bob.send("typing", nil) // the next message
	want(t, "who types", ada.next("typing").Who, who{"b-2", "Bob B."})
	bob.send("name", naming{"Robert"})
	for _, v := range []*visitor{ada, bob} {
		f := v.next("renamed")
		want(t, "rename", f.Was+" "+f.Who.Name, "Bob B. Robert")
	}
	bob.say("it is me")
	want(t, "the author", ada.next("said").From, who{"b-2", "Robert"})
}

func TestRefused(t *testing.T) {
	p := startProgram(t)
	for _, id := range []string{"", "a b", "ä", strings.Repeat("x", 65)} {
		body := fmt.Sprintf(`h {"v":1,"client":%q,"down":"check"}`, id)
		resp, err := http.Post(p.url+"chat", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("id %q: %v", id, resp)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	long := strings.Repeat("ö", 33)
	for _, bad := range [][2]string{{"", "x"}, {"Ada", " "}, {"A\ada", "x"}, {"Ada", "a\x00b"}, {long, "x"}, {"Ada", long}, {"\u200b", "x"}} {
		v := connect(t, p.url, "ada")
		v.enter(bad[0], bad[1])
		if e := v.sentAway(); e.Code != 1008 || e.Reason == "" {
			t.Errorf("name and room %q: %v", bad, e)
		}
	}
	enterChat(t, p.url, strings.Repeat("x", 64), long[2:], long[2:])
}

func TestWhatIsNoMessage(t *testing.T) {
	p := startProgram(t)
	ada := enterChat(t, p.url, "ada", "Ada", "x")
	for _, bad := range [][3]string{
		{"name", `{"name":""}`}, {"name", `{"name":"a\u0007b"}`}, {"name", `{"name":"` + strings.Repeat("n", 33) + `"}`},
		{"enter", `{"name":"Ada","room":"` + strings.Repeat("n", 33) + `"}`}, {"enter", `{"name":"Ada"}`}, {"enter", `{"room":"y"}`},
		{"dance", `{}`}, {"say", `[]`}, {"say", `"nonsense"`}, {"enter", `{"n":-1}`}, {"name", `{"name":1}`}, {"typing", `7`},
	} {
		ada.send(bad[0], json.RawMessage(bad[1]))
		if f := ada.next("wrong"); f.Text == "" || f.Event != bad[0] {
			t.Errorf("%s %.40s: told %+v", bad[0], bad[1], f)
		}
	}
	for _, bad := range []saying{
		{Key: "1"}, {Key: "2", Text: " \n "}, {Key: "3", Text: strings.Repeat("🎭", 2001)}, {Key: strings.Repeat("k", 65), Text: "x"},
	} {
		ada.send("say", bad)
		if f := ada.next("unsaid"); f.Why == "" || f.Key != bad.Key {
			t.Errorf("%.40v: told %+v", bad, f)
		}
	}
	ada.send("say", []byte(`{"text":"x"}`))
	ada.next("wrong")
	long := strings.Repeat("🎭", 2000)
	ada.say(long)
	ada.hears(long)
	ada.send("name", naming{"Ada"}) // as before: nothing happens
	ada.say("still here")
	ada.hears("still here")
}

// What a page says again, since it could not know whether it had arrived, is said
// once; what it says for another room, or before it is in any, not at all.
func TestSaidOnce(t *testing.T) {
	p := startProgram(t)
	ada := connect(t, p.url, "ada")
	ada.send("say", saying{"", "k0", "too early"})
	if f := ada.next("unsaid"); f.Key != "k0" || f.Why != "" {
		t.Errorf("told %+v", f)
	}
	ada.enter("Ada", "x")
	ada.welcomed("x")
	bob := enterChat(t, p.url, "bob", "Bob", "x")
	ada.next("joined")
	for range 3 {
		ada.send("say", saying{"x", "k1", "one"})
	}
	bob.send("say", saying{"x", "k1", "the same key of another"})
	ada.send("say", saying{"y", "k2", "elsewhere"})
	ada.send("say", saying{"x", "k3", "one"})
	for range 3 {
		if f := ada.read(); f.T == "unsaid" && (f.Key != "k2" || f.Why != "") {
			t.Errorf("told %+v", f)
		}
	}
	ada.vanish()
	again := enterChat(t, p.url, "ada", "Ada", "x") // another session
	again.send("say", saying{"x", "k1", "one"})
	again.send("say", saying{"x", "k4", "last"})
	var keys []string
	for f := (frame{}); f.Key != "k4"; {
		f = bob.read()
		if f.T == "said" && f.From.ID == "ada" {
			keys = append(keys, f.Key)
		}
	}
	want(t, "keys", keys, []string{"k1", "k3", "k4"})
}

// A burst passes at once; more of it is delayed, in order, and none is lost,
// unless it is really much.
func TestPaceDelays(t *testing.T) {
	p := startProgram(t)
	ada := enterChat(t, p.url, "ada", "Ada", "x")
	bob := enterChat(t, p.url, "bob", "Bob", "x")
	ada.next("joined")
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
	for unsaid := false; !unsaid; { // more than the pace lets through meanwhile, however slow this machine is
		for range waitingRequests + paceBurst {
			ada.say("flood")
		}
		for f, ok := ada.came.pop(); ok; f, ok = ada.came.pop() {
			if f.T == "unsaid" {
				want(t, "why", f.Why != "", true)
				unsaid = true
			}
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	h, address := startHouse(t, lobbyLimits{})
	ada := enterChat(t, address, "ada", "Ada", "x")
	s := h.sessionOf(ada)
	room := roomOf(t, h.rt)
	for i := range keptLines + 10 {
		h.rt.System().Root.Send(room, &say{s, "", fmt.Sprint(i)})
	}
	for i := range keptLines + 10 {
		ada.hears(fmt.Sprint(i))
	}
	bob := enterChat(t, address, "bob", "Bob", "x")
	want(t, "lines", len(bob.welcome.History), keptLines)
	want(t, "the first", bob.welcome.History[0].Text, "10")
}

func TestChangingRooms(t *testing.T) {
	h, address := startHouse(t, lobbyLimits{absent: time.Hour})
	ada := enterChat(t, address, "ada", "Ada", "x")
	bob := enterChat(t, address, "bob", "Bob", "x")
	ada.next("joined")
	// One after the other without waiting: all in order, each in its room.
	bob.say("in x")
	bob.enter("Bob", " y ")
	bob.say("in y")
	bob.enter("Bob", "x")
	bob.say("in x again")
	bob.hears("in x")
	bob.welcomed("y")
	want(t, "in y", bob.people(), []string{"Bob"})
	bob.hears("in y")
	bob.welcomed("x")
	want(t, "history", bob.welcome.History[0].Text, "in x")
	bob.hears("in x again")

	ada.hears("in x")
	want(t, "who left, at once", ada.next("left").Who.ID, "bob")
	want(t, "who joined", ada.next("joined").Who.ID, "bob")
	ada.hears("in x again")

	bob.enter("Bob", "x") // the one he is in: a new welcome, no more
	bob.welcomed("x")
	bob.say("here")
	ada.hears("here")
	want(t, "members", h.rt.Registry().Count("room/x"), 2)
	want(t, "members", h.rt.Registry().Count("room/y"), 0)
}

func TestRoomsAreListed(t *testing.T) {
	_, address := startHouse(t, lobbyLimits{listed: 2, every: time.Millisecond, absent: time.Millisecond})
	ada := enterChat(t, address, "ada", "Ada", "b")
	enterChat(t, address, "bob", "Bob", "b")
	enterChat(t, address, "cleo", "Cleo", "c")
	ada.listed(roomCount{"b", 2}, roomCount{"c", 1})
	dan := enterChat(t, address, "dan", "Dan", "a")
	ada.listed(roomCount{"b", 2}, roomCount{"a", 1})
	dan.listed(roomCount{"b", 2}, roomCount{"a", 1}) // also who comes later
	dan.vanish()
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
	_, address := startHouse(t, lobbyLimits{absent: time.Hour})
	ada := enterChat(t, address, "ada", "Ada", "x")
	bob := enterChat(t, address, "bob", "Bob", "x")
	ada.next("joined")
	for range 3 {
		bob.vanish()
		bob = enterChat(t, address, "bob", "Bob", "x")
		want(t, "people", bob.people(), []string{"Ada", "Bob"})
	}
	bob.vanish()
	bob = enterChat(t, address, "bob", "Robert", "x") // renamed while away
	want(t, "the old name", ada.next("renamed").Was, "Bob")
	bob.say("back")
	ada.hears("back")
}

func TestLeavesAfterTheGrace(t *testing.T) {
	for _, carrier := range carriers {
		t.Run(string(carrier), func(t *testing.T) {
			t.Parallel() // that a client polls no more takes seconds to find out
			_, address := startHouse(t, lobbyLimits{absent: 20 * time.Millisecond})
			ada := enterChat(t, address, "ada", "Ada", "x")
			bob := enterChat(t, address, "bob", "Bob", "x", over(carrier))
			ada.next("joined")
			bob.vanish()
			want(t, "who left", ada.next("left").Who, who{"bob", "Bob"})
			enterChat(t, address, "bob", "Bob", "x")
			want(t, "who joined", ada.next("joined").Who, who{"bob", "Bob"})
		})
	}
}

// Who is away for longer than the others see them comes back to the same session, to
// all that was said meanwhile, and is seen again.
func TestComesBack(t *testing.T) {
	_, address := startHouse(t, lobbyLimits{absent: time.Millisecond})
	ada := enterChat(t, address, "ada", "Ada", "x")
	comeBack, away := untilTold(t)
	bob := enterChat(t, address, "bob", "Bob", "x", over(client.WebSocket), away)
	ada.next("joined")
	bob.client.Break()
	want(t, "who left", ada.next("left").Who.ID, "bob")
	cleo := enterChat(t, address, "cleo", "Cleo", "x")
	want(t, "Cleo sees", cleo.people(), []string{"Ada", "Cleo"})
	ada.next("joined")
	ada.say("one")
	ada.say("two")
	ada.hears("one", "two")
	comeBack()
	want(t, "who joined", ada.next("joined").Who.ID, "bob")
	want(t, "who left", bob.next("left").Who.ID, "bob")
	bob.next("joined") // Cleo
	bob.hears("one", "two")
	want(t, "who joined", bob.next("joined").Who.ID, "bob")
	if st := bob.client.State(); !st.Resumed || st.Lost != 0 {
		t.Errorf("%+v", st)
	}
}

// Whoever was away for too long to be told of everything is told that, and how much.
func TestTooMuchToKeep(t *testing.T) {
	const many = 3000
	h, address := startHouse(t, lobbyLimits{absent: time.Millisecond})
	comeBack, away := untilTold(t)
	bob := enterChat(t, address, "bob", "Bob", "x", over(client.WebSocket), away)
	gaps := make(chan uint64, many) // as many as there can be: what is said at his return may push out more
	bob.client.OnGap(func(_ context.Context, n uint64) { gaps <- n })
	ada := enterChat(t, address, "ada", "Ada", "x")
	bob.next("joined")
	s, room := h.sessionOf(ada), roomOf(t, h.rt)
	bob.client.Break()
	ada.next("left")
	for i := 0; i < many; i += 100 {
		for j := range 100 {
			h.rt.System().Root.Send(room, &say{s, "", fmt.Sprint(i + j)})
		}
		for j := range 100 {
			ada.hears(fmt.Sprint(i + j))
		}
	}
	comeBack()
	var n uint64
	select {
	case n = <-gaps:
	case <-within(t).Done():
		t.Fatal("no gap is told")
	}
	bob.enter("Bob", "x")
	heard := 0
	for f := (frame{}); f.T != "welcome"; {
		switch f = bob.read(); f.T {
		case "said":
			heard++
			bob.last = f.At
		case "welcome":
			want(t, "the newest line", f.History[len(f.History)-1].At, bob.last)
		}
	}
	for len(gaps) > 0 { // those before the welcome have been told
		n += <-gaps
	}
	if lost := many - heard; lost == 0 || n < uint64(lost) { // who came and left is among them
		t.Errorf("heard %d of %d, and %d were lost", heard, many, n)
	}
}

func TestTwoWindowsAreOnePerson(t *testing.T) {
	_, address := startHouse(t, lobbyLimits{absent: time.Millisecond})
	ada := enterChat(t, address, "ada", "Ada", "x")
	bob := enterChat(t, address, "bob", "Bob", "x")
	ada.next("joined")
	second := enterChat(t, address, "bob", "Bob", "x")
	want(t, "people", second.people(), []string{"Ada", "Bob"})
	bob.vanish()
	second.say("still here")
	ada.hears("still here")
	third := enterChat(t, address, "bob", "Bob", "x")
	third.enter("Bob", "y")
	third.welcomed("y")
	second.say("still here, with the other window elsewhere")
	ada.hears("still here, with the other window elsewhere")
	second.vanish()
	want(t, "who left", ada.next("left").Who.ID, "bob")
}

// A panic costs the message that caused it. The person stays connected, and so
// does everything that is known about the visit.
func TestHandlerFails(t *testing.T) {
	h, address := startHouse(t, lobbyLimits{})
	ada := enterChat(t, address, "ada", "Ada", "x")
	ada.send("name", naming{"Countess"})
	ada.next("renamed")
	h.rt.System().Root.Send(h.sessionOf(ada).Channel().PID(), (*entered)(nil))
	ada.say("still here")
	want(t, "the author", ada.next("said").From.Name, "Countess")
	want(t, "failures", h.rt.Stats().HandlerFailed, int64(1))
}

// A room that fails goes on with what it knows.
func TestRoomFails(t *testing.T) {
	h, address := startHouse(t, lobbyLimits{})
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
	h, address := startHouse(t, lobbyLimits{})
	ada := enterChat(t, address, "ada", "Ada", "x")
	bob := enterChat(t, address, "bob", "Bob", "x")
	ada.next("joined")
	h.rt.System().Root.Send(h.chat.lobby, (*enter)(nil))
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
	h, address := startHouse(t, lobbyLimits{}, chatOptions{patience: 10 * time.Millisecond})
	lobby := h.chat.lobby
	deaf := true
	h.chat.lobby = h.rt.System().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case *enter:
			if deaf = !deaf; deaf {
				ctx.Forward(lobby)
			}
		case *subscribe:
			ctx.Forward(lobby)
		}
	}))
	t.Cleanup(func() { _ = h.rt.System().Root.StopFuture(lobby).Wait() })
	ada := enterChat(t, address, "ada", "Ada", "x")
	ada.enter("Ada", "y")
	ada.say("in y")
	ada.welcomed("y")
	ada.hears("in y")
}

func TestTooManyRooms(t *testing.T) {
	_, address := startHouse(t, lobbyLimits{rooms: 2})
	ada := enterChat(t, address, "ada", "Ada", "x")
	bob := enterChat(t, address, "bob", "Bob", "y")
	ada.enter("Ada", "z")
	want(t, "what is wrong", ada.next("wrong").N, ada.asked)
	ada.say("still in x")
	ada.hears("still in x")
	cleo := connect(t, address, "cleo", func(o *client.Options) { o.Backoff = never })
	cleo.enter("Cleo", "z")
	cleo.disconnected(1013)
	bob.enter("Bob", "x") // y is empty now: it makes place
	bob.welcomed("x")
	ada.next("joined")
	ada.enter("Ada", "z")
	ada.welcomed("z")
}

func TestEmptyRoomsAreForgotten(t *testing.T) {
	_, address := startHouse(t, lobbyLimits{keep: time.Millisecond})
	ada := enterChat(t, address, "ada", "Ada", "x")
	ada.say("remember me")
	ada.hears("remember me")
	for end := time.Now().Add(limit); ; {
		ada.enter("Ada", "y")
		ada.welcomed("y")
		ada.enter("Ada", "x")
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

// sessionOf is a visitor's session.
func (h *house) sessionOf(v *visitor) *events.Session {
	v.t.Helper()
	s, ok := h.chat.srv.Session(v.client.State().Session)
	if !ok {
		v.t.Fatal("there is no such session")
	}
	return s
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
