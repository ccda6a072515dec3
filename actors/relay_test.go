package actors_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

func TestBroadcastsReachTheMembersOnAllNodes(t *testing.T) {
	onMesh(t, 3, func(m *mesh) {
		a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
		here := a.join(a.ep, "ann", "t")
		alone := a.join(a.ep, "")
		there := b.join(b.ep, "ann", "t", "other")
		far := c.join(c.ep, "bob", "t")
		want := func(what, here1, alone1, there1, far1 string, encoded int) {
			t.Helper()
			got := fmt.Sprintf("%q %q %q %q", here.texts(), alone.texts(), there.texts(), far.texts())
			if want := fmt.Sprintf("%q %q %q %q", here1, alone1, there1, far1); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
			if a.encoded != encoded {
				t.Errorf("%s was encoded %d times, want %d", what, a.encoded, encoded)
			}
			a.encoded = 0
		}
		m.must(a.rt.Publish("t", "1"))
		want("Publish", "1", "", "1", "1", 1)
		m.must(a.rt.Publish("other", "2"))
		want("to a topic of elsewhere", "", "", "2", "", 1)
		m.must(a.rt.Publish("nobody's", "3"))
		want("to nobody", "", "", "", "", 0)
		m.must(a.rt.SendUID("ann", "4"))
		want("SendUID", "4", "", "4", "", 1)
		m.must(a.rt.SendUID("", "5"))
		want("to no uid", "", "", "", "", 0)
		m.must(a.rt.SendAll("6"))
		want("SendAll", "6", "6", "6", "6", 1)
		m.must(here.Publish("t", "7"))
		want("a channel's", "7", "", "7", "7", 1)
		m.must(here.PublishOthers("t", "8"))
		want("to the others", "", "", "8", "8", 1)
		m.must(a.rt.Publish("t", "9", actors.Local()))
		want("Local", "9", "", "", "", 0)
		m.must(here.Send("10", actors.Local()))
		want("a Send that is Local", "10", "", "", "", 0)
		if err := a.rt.Publish("", "11"); !errors.Is(err, actors.ErrNoTopic) {
			t.Error(err)
		}
		there.Leave("t")
		far.Channel.Close()
		<-far.Done()
		m.must(a.rt.Publish("t", "12"))
		want("after the last has left", "12", "", "", "", 0)
	})
}

// Each publisher's messages come to each member in the order in which they were
// published, and all of them.
func TestBroadcastsKeepThePublishersOrder(t *testing.T) {
	const publishers, messages = 3, 200
	onMesh(t, 3, func(m *mesh) {
		var members []*member
		ep := m.endpoint(actors.Options{Name: "roomy", MailboxMessages: 4 * publishers * messages})
		for i, n := range m.nodes {
			members = append(members, n.join(ep[i], "u", "t"), n.join(ep[i], "u", "t"))
		}
		var wg sync.WaitGroup
		for i, n := range m.nodes {
			for p := range publishers {
				wg.Go(func() {
					for k := range messages {
						if err := n.rt.Publish("t", fmt.Sprintf("%d.%d %d", i, p, k)); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		for _, c := range members {
			next := map[string]int{}
			for _, p := range c.packets() {
				who, k, _ := strings.Cut(string(p.Data()), " ")
				if k != fmt.Sprint(next[who]) {
					t.Fatalf("%s of %s came, and not %d", k, who, next[who])
				}
				next[who]++
			}
			for who, n := range next {
				if n != messages || len(next) != len(m.nodes)*publishers {
					t.Fatalf("%d of %s, of %d publishers", n, who, len(next))
				}
			}
		}
	})
}

func TestBroadcastsArriveAsTheyWere(t *testing.T) {
	event := actors.Event{Event: "tick", ID: "7", Retry: time.Second, Data: []byte("a\nb")}
	onMesh(t, 2, func(m *mesh) {
		a, b := m.nodes[0], m.nodes[1]
		here, there := a.join(a.ep, "", "t"), b.join(b.ep, "", "t")
		for _, v := range []any{
			"text", []byte{0, 0xff}, event, actors.Ping{Data: []byte("p")}, actors.Pong{},
			transport.NewPacket(transport.Text, []byte("made before")),
		} {
			for _, options := range [][]actors.SendOption{nil, {actors.Uncompressed()}, {actors.WithPolicy(actors.DropOldest)}} {
				m.must(a.rt.Publish("t", v, options...))
				one, other := here.packets(), there.packets()
				if len(one) != 1 || len(other) != 1 {
					t.Fatalf("%v came %d and %d times", v, len(one), len(other))
				}
				// What a packet is as bytes is all that there is to it.
				want, err := one[0].AppendBinary(nil)
				m.must(err)
				if got, err := other[0].AppendBinary(nil); err != nil || !bytes.Equal(got, want) || other[0].Size() != one[0].Size() {
					t.Errorf("%v became %q, %d: %v; want %q, %d", v, got, other[0].Size(), err, want, one[0].Size())
				}
			}
		}
	})
}

func TestOnlyIsTheSameEndpointOnAllNodes(t *testing.T) {
	onMesh(t, 2, func(m *mesh) {
		a, b := m.nodes[0], m.nodes[1]
		chat := m.endpoint(actors.Options{Name: "chat"})
		here, there := a.join(chat[0], "", "t"), b.join(chat[1], "", "t")
		others := b.join(b.ep, "", "t")
		m.must(a.rt.Publish("t", "1", actors.Only(chat[0])))
		m.must(a.rt.Publish("t", "2", actors.Only(a.ep)))
		if h, c, o := here.texts(), there.texts(), others.texts(); h != "1" || c != "1" || o != "2" {
			t.Errorf("%q %q %q", h, c, o)
		}
		m.must(a.rt.Publish("t", "3", actors.Only(chat[1]))) // another runtime's
		if h, c, o := here.texts(), there.texts(), others.texts(); h+c+o != "" {
			t.Errorf("%q %q %q", h, c, o)
		}
		own, err := a.rt.Endpoint(actors.Options{Name: "own"}, actors.Callbacks{})
		m.must(err)
		m.must(a.rt.Publish("t", "4", actors.Only(own)))
		m.must(a.rt.Publish("t", "5", actors.Only(own)))
		if h, c, o := here.texts(), there.texts(), others.texts(); h+c+o != "" {
			t.Errorf("%q %q %q", h, c, o)
		}
		if n := m.logs.count("this one does not have"); n != 1 {
			t.Errorf("it was logged %d times", n)
		}
	})
}

func TestLatestOnAllNodes(t *testing.T) {
	onMesh(t, 2, func(m *mesh) {
		a, b := m.nodes[0], m.nodes[1]
		there := b.join(b.ep, "", "t")
		there.shutUp(true)
		m.must(a.rt.Publish("t", "kept"))
		synctest.Wait()
		for i := range 3 {
			m.must(a.rt.Publish("t", fmt.Sprint("text", i), actors.Latest("key")))
			m.must(a.rt.Publish("t", fmt.Sprint("number", i), actors.Latest(7)))
			synctest.Wait()
			m.must(b.rt.Publish("t", fmt.Sprint("own", i), actors.Latest(int64(7))))
			synctest.Wait()
		}
		m.must(b.rt.Publish("t", "here", actors.Latest("key"))) // one key, wherever it is used
		there.shutUp(false)
		if got := there.texts(); got != "kept here number2 own2" {
			t.Error(got)
		}
	})
}

type named string

// What cannot go to other nodes is an error here, also while nobody there would get
// it, and nobody has got it.
func TestWhatCannotGoToOtherNodes(t *testing.T) {
	onMesh(t, 2, func(m *mesh) {
		a, b := m.nodes[0], m.nodes[1]
		here := a.join(a.ep, "", "t")
		noted := func() any { return transport.NewPacket(transport.Text, []byte("x")).Note(1) }
		for range 2 {
			var bad *actors.KeyError
			if err := a.rt.Publish("t", "x", actors.Latest(named("k"))); !errors.As(err, &bad) || !errors.Is(err, actors.ErrKey) {
				t.Error(err)
			}
			for _, options := range [][]actors.SendOption{nil, {actors.Only(a.ep)}} {
				if err := a.rt.Publish("t", noted(), options...); !errors.Is(err, actors.ErrNote) {
					t.Error(err)
				}
			}
			if got := here.texts(); got != "" {
				t.Error(got)
			}
			m.must(a.rt.Publish("t", "x", actors.Latest(named("k")), actors.Local()))
			m.must(a.rt.Publish("t", noted(), actors.Local()))
			if got := here.texts(); got != "x x" {
				t.Error(got)
			}
			b.join(b.ep, "", "t") // the same again, with somebody there
		}
		if err := a.rt.Publish("t", transport.NewFragment(transport.Text, nil, true, false)); !errors.Is(err, transport.ErrFragment) {
			t.Error(err)
		}
		if got := here.texts(); got != "" {
			t.Error(got)
		}
	})
}

// tallied is a Wire whose packets have a note: a number.
type tallied struct{}

var errTallied = errors.New("not this one")

func (tallied) AppendPacket(dst []byte, p *transport.Packet) ([]byte, error) {
	n := p.Noted().(int)
	if n < 0 {
		return dst, errTallied
	}
	return append(append(dst, byte(n)), p.Data()...), nil
}

func (tallied) ParsePacket(b []byte) (*transport.Packet, error) {
	if len(b) == 0 {
		return nil, errTallied
	}
	return transport.NewPacket(transport.Text, b[1:]).Note(int(b[0])), nil
}

func TestAWireCarriesTheNote(t *testing.T) {
	onMesh(t, 2, func(m *mesh) {
		a, b := m.nodes[0], m.nodes[1]
		eps := m.endpoint(actors.Options{Name: "own", Wire: tallied{}})
		here, there := a.join(eps[0], "", "t"), b.join(eps[1], "", "t")
		m.must(a.rt.Publish("t", transport.NewPacket(transport.Text, []byte("x")).Note(9), actors.Only(eps[0])))
		for _, c := range []*member{here, there} {
			if got := c.packets(); len(got) != 1 || got[0].Noted() != 9 || string(got[0].Data()) != "x" {
				t.Error(got)
			}
		}
		if err := a.rt.Publish("t", transport.NewPacket(transport.Text, nil).Note(-1), actors.Only(eps[0])); !errors.Is(err, errTallied) {
			t.Error(err)
		}
		// An endpoint without it understands nothing of that, nor the other way.
		plain, err := a.rt.Endpoint(actors.Options{Name: "plain"}, actors.Callbacks{})
		m.must(err)
		_, err = b.rt.Endpoint(actors.Options{Name: "plain", Wire: tallied{}}, actors.Callbacks{})
		m.must(err)
		m.must(a.rt.Publish("t", "x", actors.Only(plain)))
		if here.texts()+there.texts() != "" || len(b.refused) != 1 || !errors.Is(b.refused[0], actors.ErrBroadcast) {
			t.Error(b.refused)
		}
		b.refused = nil
	})
}

// capture is a node that keeps what it was to relay.
type capture struct {
	*node
	relayed [][]byte
}

func (c *capture) Relay(_ actors.Audience, encode func() ([]byte, error)) error {
	b, err := encode()
	c.relayed = append(c.relayed, b)
	return err
}

func FuzzDeliver(f *testing.F) {
	n := &capture{node: (&mesh{}).node("here:1", nil)}
	logs := slog.New(slog.DiscardHandler)
	rt, err := actors.Start(actors.Config{Cluster: n, Driver: actors.DriverGoroutine, Logger: logs})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = rt.Stop(f.Context()) })
	ep, own := rt.Handler(actors.Callbacks{}), actors.Options{Name: "own", Wire: tallied{}}
	wired, err := rt.Endpoint(own, actors.Callbacks{})
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range []struct {
		v       any
		options []actors.SendOption
	}{
		{"text", nil},
		{[]byte{1, 2}, []actors.SendOption{actors.Only(ep), actors.Latest("key"), actors.Uncompressed()}},
		{actors.Event{Event: "e", Data: []byte("d")}, []actors.SendOption{actors.Latest(-1)}},
		{transport.NewPacket(transport.Text, []byte("x")).Note(1), []actors.SendOption{actors.Only(wired)}},
	} {
		if err := rt.Publish("t", b.v, b.options...); err != nil {
			f.Fatal(err)
		}
	}
	for _, b := range n.relayed {
		f.Add(b)
	}
	f.Add([]byte{1, 1, 0, 200, 'x'})
	f.Add([]byte{1, 1, 0, 4, 'n', 'o', 'n', 'e'})
	f.Add([]byte{2, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		for _, to := range []actors.Audience{{Kind: actors.ToTopic, Name: "t"}, {Kind: actors.ToUID, Name: "u"}, {Kind: actors.ToAll}} {
			if err := rt.Deliver(to, data); err != nil && !errors.Is(err, actors.ErrBroadcast) {
				t.Fatalf("%v", err)
			}
		}
		if !bytes.Equal(data, before) {
			t.Fatal("it was written to")
		}
	})
}

func TestDeliverRefusesWhatIsNoBroadcast(t *testing.T) {
	onMesh(t, 2, func(m *mesh) {
		b := m.nodes[1]
		there := b.join(b.ep, "", "t")
		topic := actors.Audience{Kind: actors.ToTopic, Name: "t"}
		for _, data := range []string{
			"", "\x01", "\x00\x00\x00\x00x", "\x02\x00\x00\x00x", "\x01\x04\x00\x00x", "\x01\x00", "\x01\x00\x02\x00x", "\x01\x00\x05",
			"\x01\x00\x00", "\x01\x00\x00\x10x", "\x01\x01\x00", "\x01\x01\x00\x00", "\x01\x01\x00\x09own", "\x01\x02\x00\x00x", "\x01\x03\x00\x00\x00x",
			"\x01\x00\x00\x00\xff",
		} {
			if err := b.rt.Deliver(topic, []byte(data)); !errors.Is(err, actors.ErrBroadcast) {
				t.Errorf("%q: %v", data, err)
			}
		}
		for _, to := range []actors.Audience{{Kind: 9, Name: "t"}, {Kind: actors.ToTopic}} {
			err := b.rt.Deliver(to, []byte("\x01\x00\x00\x00x"))
			if !errors.Is(err, actors.ErrBroadcast) && !errors.Is(err, actors.ErrNoTopic) {
				t.Errorf("%+v: %v", to, err)
			}
		}
		if got := there.texts(); got != "" {
			t.Error(got)
		}
		m.must(b.rt.Deliver(topic, []byte("\x01\x00\x00\x00x")))
		if got := there.texts(); got != "x" {
			t.Error(got)
		}
	})
}
