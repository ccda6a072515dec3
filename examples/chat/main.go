// Command chat is rooms with names, and with the word of who is there.
//
//	go run ./examples/chat
//
// Then open http://localhost:8080/?user=ann in one window and
// http://localhost:8080/?user=bob in another. A line is said to the room;
// /join ROOM, /name NAME and /who are commands.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
)

//go:embed index.html
var page []byte

// What is kept with a channel: the names of a string.
type key string

const (
	roomOf key = "room"
	nameOf key = "name"
)

func get(c *actors.Channel, k key) string { s, _ := c.Value(k).(string); return s }

var options = actors.Options{Next: actors.UpgradeRequired, MaxMessageBytes: 4 << 10, Authorize: authorize}

// authorize finds out who the user is. Here everybody is who he says he is;
// yours looks at a session cookie or a token.
func authorize(_ http.ResponseWriter, r *http.Request) (uid string, ok bool) {
	uid = r.FormValue("user")
	return uid, uid != ""
}

var chat = actors.Callbacks{
	Open: func(c *actors.Channel) {
		c.Set(nameOf, c.UID())
		enter(c, "lobby")
	},
	Message: func(c *actors.Channel, m actors.Message) {
		command, rest, _ := strings.Cut(m.String(), " ")
		switch {
		case command == "/join" && rest != "":
			enter(c, rest)
		case command == "/name" && rest != "":
			rename(c, rest)
		case command == "/who":
			c.SendText("* here: " + who(c))
		case strings.HasPrefix(command, "/"):
			c.SendText("* /join ROOM, /name NAME or /who")
		default:
			c.Publish(get(c, roomOf), get(c, nameOf)+": "+m.String())
		}
	},
	// Who comes and goes arrives as any message to the channel's PID does.
	Receive: func(c *actors.Channel, ctx actor.Context) {
		p, ok := ctx.Message().(*actors.Presence)
		switch {
		case !ok || p.UID == c.UID() || p.Topic != get(c, roomOf):
		case p.Online:
			c.SendText("* " + p.UID + " came")
		default: // no tab is left, and a reload would be through by now
			c.SendText("* " + p.UID + " left")
		}
	},
}

// enter takes a channel from its room to another.
func enter(c *actors.Channel, room string) {
	if old := get(c, roomOf); old != "" {
		c.UnwatchPresence(old)
		c.Leave(old)
	}
	c.Set(roomOf, room)
	c.Join(room)
	c.WatchPresence(room) // first watch, then look: nobody is missed
	c.SendText("* you are in " + room + " with " + who(c))
}

// rename names all tabs of a user.
func rename(c *actors.Channel, name string) {
	for tab := range c.Runtime().ByUID(c.UID()) {
		tab.Set(nameOf, name)
	}
	c.Publish(get(c, roomOf), fmt.Sprintf("* %s is called %s now", c.UID(), name))
}

func who(c *actors.Channel) string {
	var uids []string
	for uid := range c.Runtime().Registry().Present(get(c, roomOf)) {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	return strings.Join(uids, ", ")
}

func routes(rt *actors.Runtime) (http.Handler, error) {
	endpoint, err := rt.Endpoint(options, chat)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /chat", endpoint)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { w.Write(page) })
	return mux, nil
}

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	rt, err := actors.Start(actors.Config{})
	if err != nil {
		log.Fatal(err)
	}
	handler, err := routes(rt)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s/?user=ann", *addr)
	if err := rt.ListenAndServe(ctx, actors.ServerConfig{Addr: *addr, Handler: handler}); err != nil {
		log.Fatal(err)
	}
}
