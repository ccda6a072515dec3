package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/cluster"
)

// freePorts are two ports in a row that nobody listens on. They are below those that the
// system deals out, so that no connection takes them meanwhile.
func freePorts(t *testing.T) (addr string) {
	t.Helper()
	for range 1000 {
		port := 20000 + 2*rand.IntN(5000)
		free := true
		for p := port; p < port+2; p++ {
			l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", p))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return fmt.Sprint("127.0.0.1:", port)
		}
	}
	t.Fatal("no free ports")
	return ""
}

// startCluster runs serve for each name, as three terminals do.
func startCluster(t *testing.T, names ...string) (nodes []*program, seed string) {
	t.Helper()
	seed = freePorts(t)
	for i, name := range names {
		addr := seed
		if i > 0 {
			addr = freePorts(t)
		}
		nodes = append(nodes, startProgram(t, "--cluster-addr", addr, "--join", seed, "--node-name", name))
	}
	return nodes, seed
}

// meets waits until a visitor sees exactly these people, told one by one.
func (v *visitor) meets(names ...string) {
	v.t.Helper()
	here := make(map[string]string)
	for _, p := range v.welcome.People {
		here[p.ID] = p.Name
	}
	for {
		var now []string
		for _, name := range here {
			now = append(now, name)
		}
		if slices.Sort(now); slices.Equal(now, names) {
			v.welcome.People = nil
			for id, name := range here {
				v.welcome.People = append(v.welcome.People, who{id, name})
			}
			return
		}
		switch f := v.read(); f.T {
		case "joined", "renamed":
			here[f.Who.ID] = f.Who.Name
		case "left":
			delete(here, f.Who.ID)
		case "rooms":
		default:
			v.t.Fatalf("%v is here, and then %+v; want %v", now, f, names)
		}
	}
}

// A node that is to join takes clients once it has met another, or has waited for long.
func TestReadyOnceJoined(t *testing.T) {
	seed := freePorts(t)
	own := freePorts(t)
	p := startProgram(t, "--cluster-addr", own, "--join", seed+","+own, "--node-name", "b")
	if status, body := get(t, &http.Client{}, p.url+"healthz"); status != 503 || body != "joining\n" {
		t.Errorf("alone: %d %q", status, body)
	}
	startProgram(t, "--cluster-addr", seed, "--node-name", "a")
	for late := within(t); ; {
		status, body := get(t, &http.Client{}, p.url+"healthz")
		if status == 200 {
			break
		}
		if late.Err() != nil || body != "joining\n" {
			t.Fatalf("with another: %d %q", status, body)
		}
	}
	for _, n := range []*node{nil, {}, {joins: true, began: time.Now().Add(-joinPatience)}} {
		want(t, "ready", n.ready(), true)
	}
	want(t, "ready at once", (&node{joins: true, began: time.Now().Add(time.Hour)}).ready(), false)
}

var (
	manifest = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	flagLine = regexp.MustCompile(`(?m)^ +- (--\S+)$`)
	probe    = regexp.MustCompile(`httpGet: \{ path: /(\S+), port: (\d+) \}`)
)

// What docs/cluster.md gives to Kubernetes is what serve takes: each flag, the variables,
// the probe's address. Only addresses are others here.
func TestManifest(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "cluster.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := manifest.FindSubmatch(text)
	if m == nil {
		t.Fatal("there is none")
	}
	yaml := string(m[1])
	for _, name := range []string{"POD_NAME", "POD_IP", keyVariable} {
		if !strings.Contains(yaml, "{ name: "+name+", valueFrom:") {
			t.Errorf("%s is not set", name)
		}
	}
	t.Setenv(keyVariable, strings.Repeat("0f", 32)+"\n") // as openssl rand -hex 32 prints it
	at := probe.FindStringSubmatch(yaml)
	if at == nil {
		t.Fatal("nobody asks whether it is ready")
	}
	seed := freePorts(t)
	var nodes []*program
	for i, name := range []string{"chat-0", "chat-1"} {
		addr := seed
		if i > 0 {
			addr = freePorts(t)
		}
		var flags []string
		for _, f := range flagLine.FindAllStringSubmatch(yaml, -1) {
			flags = append(flags, strings.NewReplacer(
				"$(POD_NAME)", name,
				"$(POD_IP):7946", addr,
				"chat-nodes:7946", seed,
				"--addr=:"+at[2], "--addr=127.0.0.1:0",
			).Replace(f[1]))
		}
		if len(flags) < 4 || strings.Contains(strings.Join(flags, " "), "$") {
			t.Fatalf("flags %q", flags)
		}
		nodes = append(nodes, startProgram(t, flags...))
	}
	for _, p := range nodes {
		for late := within(t); ; {
			status, body := get(t, &http.Client{}, p.url+at[1])
			if status == 200 {
				break
			}
			if late.Err() != nil {
				t.Fatalf("%s: %d %q; its log:\n%s", at[0], status, body, p.stderr)
			}
		}
		if log := p.stderr.String(); !strings.Contains(log, "a node is up") {
			t.Errorf("it is ready, and has met nobody:\n%s", log)
		}
	}
}

func TestThreeNodesChat(t *testing.T) {
	nodes, seed := startCluster(t, "a", "b")
	ann := enterChat(t, nodes[0].url, "ann", "Ann", "tea")
	want(t, "Ann's node", ann.welcome.Node, "a")
	bob := enterChat(t, nodes[1].url, "bob", "Bob", "tea")
	ann.meets("Ann", "Bob")
	bob.meets("Ann", "Bob")
	for types := false; !types; { // b may not know yet that a has the room: such a thing is told once or not at all
		bob.send("typing", nil)
		select {
		case <-ann.came.grown:
		case <-time.After(typingEvery):
		}
		for f, ok := ann.came.pop(); ok; f, ok = ann.came.pop() {
			if types = types || f.T == "typing"; f.T == "typing" {
				want(t, "who types", f.Who, who{"bob", "Bob"})
			}
		}
	}
	ann.say("hello")
	bob.say("hi")
	lines := func(f frame) (texts []string) {
		for _, l := range f.History {
			texts = append(texts, l.Node+": "+l.Text)
		}
		slices.Sort(texts)
		return texts
	}
	for _, v := range []*visitor{ann, bob} { // who spoke first is seen differently
		var said []string
		for len(said) < 2 {
			if f := v.read(); f.T == "said" {
				said = append(said, f.Text)
			}
		}
		slices.Sort(said)
		want(t, "said", said, []string{"hello", "hi"})
	}

	// A node that comes later has the history and the people of all.
	third := startProgram(t, "--cluster-addr", freePorts(t), "--join", seed, "--node-name", "c")
	cleo := enterChat(t, third.url, "cleo", "Cleo", "tea")
	for len(cleo.welcome.History) < 2 || len(cleo.welcome.People) < 3 { // what the others had not told yet
		switch f := cleo.read(); f.T {
		case "said":
			cleo.welcome.History = append(cleo.welcome.History, line{From: f.From, Text: f.Text, Node: f.Node})
		case "joined":
			cleo.welcome.People = append(cleo.welcome.People, f.Who)
		}
	}
	want(t, "history", lines(cleo.welcome), []string{"a: hello", "b: hi"})
	ann.meets("Ann", "Bob", "Cleo")

	// One person in two windows on two nodes is one person, who has one name.
	again := enterChat(t, nodes[1].url, "ann", "Anna", "tea")
	bob.meets("Anna", "Bob", "Cleo")
	again.meets("Anna", "Bob", "Cleo")
	again.vanish()
	ann.say("still here") // nobody has left
	for f := bob.read(); f.Text != "still here"; f = bob.read() {
		if f.T == "left" {
			t.Errorf("%v left", f.Who)
		}
	}

	// The rooms are counted over all nodes; a node that goes takes its people along.
	third.signal()
	third.exit(t)
	bob.meets("Anna", "Bob")
	if log := nodes[1].stderr.String(); !strings.Contains(log, "a node is down") {
		t.Errorf("b's log does not say so:\n%s", log)
	}
	dan := enterChat(t, nodes[0].url, "dan", "Dan", "elsewhere")
	for {
		if f := dan.read(); f.T == "rooms" && len(f.Rooms) == 2 {
			want(t, "rooms", f.Rooms, []roomCount{{"tea", 2}, {"elsewhere", 1}})
			break
		}
	}
}

// halves plays what the rooms of other nodes tell to a room of this one.
type halves struct {
	*testing.T
	*house
	address string
}

func (h *halves) tell(m any) { h.rt.System().Root.Send(h.chat.lobby, m) }

func TestNewsOfOtherNodes(t *testing.T) {
	n := &node{}
	var err error
	n.cl, err = cluster.New(cluster.Config{Name: "here"})
	if err != nil {
		t.Fatal(err)
	}
	h := &halves{T: t}
	h.house, h.address = startHouse(t, lobbyLimits{}, chatOptions{node: n})
	ann := enterChat(t, h.address, "ann", "Ann", "tea")

	h.tell(&news{Node: "b", Life: 7, Room: "tea", Seq: 1, Here: []who{{"bob", "Bob"}}})
	ann.meets("Ann", "Bob")
	h.tell(&news{Node: "c", Life: 3, Room: "tea", Seq: 1, Here: []who{{"bob", "Bob"}}})
	h.tell(&news{Node: "b", Life: 7, Room: "tea", Seq: 2, Gone: []string{"bob"}})
	h.tell(&news{Node: "b", Life: 7, Room: "tea", Seq: 4, Here: []who{{"x", "missed one"}}}) // not without the third
	h.tell(&news{Node: "b", Life: 6, Room: "tea", Seq: 3, Here: []who{{"x", "an old life"}}})
	h.tell(&news{Node: "b", Life: 7, Room: "tea", Seq: 4, All: true, Here: []who{{"dan", "Dan"}}})
	ann.meets("Ann", "Bob", "Dan")
	h.tell(&cluster.NodeEvent{Node: "b", Epoch: 7})
	ann.meets("Ann", "Bob")
	h.tell(&news{Node: "b", Life: 7, Room: "tea", Seq: 5, Here: []who{{"x", "is over"}}})
	h.tell(&news{Node: "b", Life: 8, Room: "tea", Seq: 6, All: true, Here: []who{{"eve", "Eve"}}})
	h.tell(&cluster.NodeEvent{Node: "b", Epoch: 7}) // told late
	h.tell(&wanted{Node: "c", Anew: true})
	ann.meets("Ann", "Eve")

	// Lines are kept once, by time, and none that is older than all.
	for _, l := range []line{{"k", who{"bob", "Bob"}, "2", 20, "c"}, {"", who{"eve", "Eve"}, "1", 10, "b"}} {
		h.tell(&news{Node: l.Node, Life: 9, Room: "tea", Lines: []line{l}})
		h.tell(&news{Node: "b", Life: 8, Room: "tea", Lines: []line{l}})
		l.Node = "d" // the page has sent it again, elsewhere
		if l.Key != "" {
			h.tell(&news{Node: "d", Life: 9, Room: "tea", Lines: []line{l}})
		}
	}
	for _, text := range []string{"2", "1"} {
		want(t, "said", ann.next("said").Text, text)
	}
	ann.say("3")
	mine := ann.next("said")
	want(t, "said", mine.Node+" "+mine.Text, "here 3")
	bea := enterChat(t, h.address, "bea", "Bea", "tea")
	var texts []string
	for _, l := range bea.welcome.History {
		texts = append(texts, l.Text)
	}
	want(t, "history", texts, []string{"1", "2", "3"})
	if e := ann.next("joined"); e.Who.ID != "bea" {
		t.Error(e)
	}
}

func TestKeys(t *testing.T) {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(251 * i)
	}
	for _, size := range []int{16, 24, 32} {
		k := key[:size]
		for _, text := range []string{
			hex.EncodeToString(k), strings.ToUpper(hex.EncodeToString(k)),
			base64.StdEncoding.EncodeToString(k), base64.RawURLEncoding.EncodeToString(k),
		} {
			if got, ok := parseKey(text); !ok || !bytes.Equal(got, k) {
				t.Errorf("%q is %x, %t", text, got, ok)
			}
		}
	}
	for _, text := range []string{"", "secret", hex.EncodeToString(key[:20]), "not base64!"} {
		if got, ok := parseKey(text); ok {
			t.Errorf("%q is %x", text, got)
		}
	}
}

// The first line is the key, the others are accepted.
func TestKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	one, two := strings.Repeat("01", 32), strings.Repeat("02", 16)
	if err := os.WriteFile(file, []byte(one+"\n\n"+two+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := clusterOptions{addr: "10.0.0.1:7946", keyFile: file}
	if err := o.check(); err != nil || len(o.keys) != 2 || hex.EncodeToString(o.keys[0]) != one || hex.EncodeToString(o.keys[1]) != two {
		t.Error(o.keys, err)
	}
	if err := os.WriteFile(file, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&clusterOptions{addr: "127.0.0.1:7946", keyFile: file}).check(); err == nil {
		t.Error("a file without a key is none")
	}
}

func TestClusterFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("c2hvcnQ="), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, message := range map[string]string{
		"--node-name a":                                                           "--node-name needs --cluster-addr or --join",
		"--cluster-addr 10.0.0.1:7946":                                            "--cluster-addr is 10.0.0.1:7946, which is reached from other machines: that needs --cluster-key-file or TROUPE_CLUSTER_KEY",
		"--cluster-addr :7946":                                                    "want the IP address and port",
		"--cluster-addr 127.0.0.1:7946 --join nowhere":                            `--join has "nowhere", want host:port`,
		"--cluster-addr 127.0.0.1:7946 --node-name a/b":                           `--node-name is "a/b", want 1 to 128`,
		"--cluster-addr 127.0.0.1:7946 --cluster-key-file " + file:                "want 16, 24 or 32 random bytes in hex or base64, such as 'openssl rand -hex 32' makes; they have 5",
		"--cluster-addr 127.0.0.1:7946 --cluster-key-file " + file + ".not-there": "reading --cluster-key-file: open",
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"serve", "--addr", "127.0.0.1:0"}, strings.Fields(args)...), &stdout, &stderr)
		if code == exitOK || !strings.Contains(stderr.String(), message) {
			t.Errorf("%s: %d %s", args, code, &stderr)
		}
	}
}
