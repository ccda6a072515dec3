package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/internal/twin"
	"github.com/troupe-actors/troupe/supervisor"
)

// Roles of a process.
const (
	roleNode = "node"
	roleLoud = "loud node"
)

// setup is what a node is to be; the same in all its processes.
type setup struct {
	Name, Addr, Pipe, Web string // addresses
	Join                  []string
	Key                   []byte
}

// order is what a node is to do; it answers with a report.
type order struct {
	Do    string
	Setup setup
	PIDs  []pid
	Count int
	For   time.Duration
	UIDs  []string
}

// pid is a *actor.PID in JSON.
type pid struct{ Addr, ID string }

func (p pid) String() string { return p.Addr + "/" + p.ID }

func (p pid) pid() *actor.PID { return actor.NewPID(p.Addr, p.ID) }

// report is what a node knows.
type report struct {
	Err        string
	Began      time.Time // when it was told to start
	Self       cluster.Node
	Nodes      []cluster.Node
	Diary      diary
	Table      string         // who is where, as this node knows it
	PIDs       map[string]pid // of the channels here, by uid
	Stats      cluster.Stats
	Goroutines int
	Heap       uint64 // in use after a collection
	Latency    latency
	Heard      []heard // by the guests inside this process
}

// Note is a message to a channel's handler, which says it to its client.
type Note struct{ Text string }

// Ping is answered with itself.
type Ping struct{ N int }

// node is a process of the cluster.
type node struct {
	began time.Time
	cl    *cluster.Cluster
	rt    *actors.Runtime
	srv   *actors.Server
	crowd *crowd
	diary journal
	loud  bool
}

// serve is the life of a node's process.
func serve(loud bool) {
	line, n := twin.First(), &node{loud: loud}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		r, err := n.leave()
		n.tell(line, r, err) // nobody asks meanwhile
		os.Exit(0)
	}()
	for {
		var o order
		if line.Hear(&o) != nil {
			os.Exit(0)
		}
		r, err := n.obey(o)
		n.tell(line, r, err)
	}
}

// tell answers with all that the node knows.
func (n *node) tell(line *twin.Line, r report, err error) {
	if err != nil {
		r.Err = err.Error()
	}
	r.Began = n.began
	r.Diary = n.diary.copy()
	if line.Tell(r) != nil {
		os.Exit(0)
	}
}

func (n *node) obey(o order) (r report, err error) {
	switch o.Do {
	case "start":
		err = n.start(o.Setup)
	case "watch":
		n.watch(o.PIDs)
	case "send":
		for i := range o.Count {
			n.rt.System().Root.Send(o.PIDs[0].pid(), Note{fmt.Sprint("x - ", i)})
		}
	case "ping":
		r.Latency = n.ping(o.PIDs[0].pid(), o.For)
	case "invite":
		n.crowd = &crowd{}
		err = n.crowd.invite(o.Setup.Web, o.UIDs...)
	case "talk":
		n.crowd.talk()
	case "hush":
		n.crowd.hush()
	}
	if n.rt != nil && err == nil {
		n.look(&r)
	}
	return r, err
}

// look fills in what the node knows now.
func (n *node) look(r *report) {
	r.Self, r.Nodes, r.Stats, r.Goroutines = n.cl.Self(), n.cl.Nodes(), n.cl.Stats(), runtime.NumGoroutine()
	r.PIDs = make(map[string]pid)
	for c := range n.rt.Channels() {
		r.PIDs[c.UID()] = pid{c.PID().Address, c.PID().Id}
	}
	r.Table = n.table()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.Heap = m.HeapAlloc
	if n.crowd != nil {
		r.Heard = n.crowd.heard()
	}
}

// drainWindow is over how long the clients of a node that is stopped are to come back.
const drainWindow = 2 * time.Second

// start begins to be a node.
func (n *node) start(s setup) (err error) {
	n.began = time.Now()
	logger := slog.New(slog.NewTextHandler(&n.diary, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if n.loud {
		logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", s.Name)
	}
	n.cl, err = cluster.New(cluster.Config{
		Name: s.Name, Addr: s.Addr, PipeAddr: s.Pipe, PipeBind: s.Pipe, Join: s.Join, Key: s.Key,
		FailAfter: failAfter, Grace: -1, Codec: cluster.JSON(Note{}, Ping{}), Logger: logger,
		Keep:   func(c *actors.Channel) []byte { return []byte("of " + c.UID()) },
		OnLost: n.diary.lost,
		OnNode: n.diary.node,
	})
	if err != nil {
		return err
	}
	n.rt, err = actors.Start(actors.Config{
		Cluster: n.cl, Logger: logger, DrainWindow: drainWindow, DrainBatch: 3, DrainPause: 300 * time.Millisecond,
		OnEvent: func(e supervisor.Event) {
			if _, ok := e.(supervisor.Drained); ok {
				n.diary.drained()
			}
		},
	})
	if err != nil {
		return err
	}
	n.cl.Watch(n.diary.presence)
	n.rt.System().EventStream.Subscribe(n.diary.deadLetter)
	ev, err := n.events()
	if err != nil {
		return err
	}
	raw, err := n.rt.Endpoint(actors.Options{
		Name:      "raw",
		Authorize: func(_ http.ResponseWriter, r *http.Request) (string, bool) { return r.URL.Query().Get("uid"), true },
	}, actors.Callbacks{Open: enter, Message: n.hear, Receive: receive})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/raw", raw)
	mux.Handle("/events", ev)
	mux.Handle("/healthz", n.rt.Health())
	n.srv, err = n.rt.Serve(actors.ServerConfig{Addr: s.Web, Handler: mux})
	return err
}

// enter has every channel hear what is said to all, and to its own topic.
func enter(c *actors.Channel) {
	for _, topic := range []string{"all", "of " + c.UID()} {
		if _, err := c.Join(topic); err != nil {
			panic(err)
		}
	}
}

// hear passes on what a client says: a verb, to whom, and a text.
func (n *node) hear(_ *actors.Channel, m actors.Message) {
	verb, rest, _ := strings.Cut(m.String(), " ")
	to, text, _ := strings.Cut(rest, " ")
	var err error
	switch verb {
	case "topic":
		err = n.rt.Publish(to, "topic "+text)
	case "uid":
		err = n.rt.SendUID(to, "uid "+text)
	case "pid":
		addr, id, _ := strings.Cut(to, "/")
		n.rt.System().Root.Send(actor.NewPID(addr, id), Note{"pid " + text})
	}
	if err != nil {
		n.diary.fail(err)
	}
}

func receive(c *actors.Channel, ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case Note:
		_ = c.Send(m.Text) // it has no outcome but the client's
	case Ping:
		ctx.Respond(m)
	}
}

// said is what JavaScript clients hear of each other.
type said struct {
	From    string `json:"from"`
	Session string `json:"session"`
	N       int    `json:"n"`
}

func (n *node) events() (*events.Server, error) {
	srv, err := events.New(n.rt, events.Handlers{
		Open: func(s *events.Session) {
			if _, err := s.Join("chat"); err != nil {
				panic(err)
			}
		},
	}, events.Options{
		Authorize: func(_ *http.Request, h *events.Hello) (events.Identity, error) {
			return events.Identity{UID: h.Token}, nil
		},
		ReconnectWindow: time.Second,
		Channel:         actors.Options{Name: "events"},
	})
	if err != nil {
		return nil, err
	}
	events.On(srv, "say", func(ctx context.Context, i int) error {
		s := events.From(ctx)
		n.diary.handled(s.UID(), i)
		return s.Publish("chat", "said", said{s.UID(), s.ID(), i})
	})
	return srv, nil
}

// watch has an actor hear of the ends of channels.
func (n *node) watch(of []pid) {
	began := make(chan struct{})
	n.rt.System().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			for _, p := range of {
				ctx.Watch(p.pid())
			}
			close(began)
		case *actor.Terminated:
			n.diary.terminated(m)
		}
	}))
	<-began
}

// leave ends the node as an operator does.
func (n *node) leave() (r report, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = n.srv.Stop(ctx)
	r.Stats = n.cl.Stats()
	return r, err
}

// table is all that is known of who is where.
func (n *node) table() string {
	var lines []string
	for uid := range n.cl.Users() {
		lines = append(lines, fmt.Sprintf("user %s: %v", uid, n.cl.Where(actors.Audience{Kind: actors.ToUID, Name: uid})))
	}
	for topic := range n.cl.Topics() {
		lines = append(lines, fmt.Sprintf("topic %s: %v", topic, n.cl.Where(actors.Audience{Kind: actors.ToTopic, Name: topic})))
	}
	return sorted(lines)
}
