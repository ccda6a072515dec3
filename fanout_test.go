package troupe_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// inLobby is the behaviour of channels that join the topic "lobby".
var inLobby = actors.Callbacks{Open: func(c *actors.Channel) { _, _ = c.Join("lobby") }}

// lone runs whatever is to run on one goroutine, one after the other: what a
// handler publishes waits until it has returned.
var lone = actors.Config{Workers: 1, Options: quiet}

// atOnce publishes messages from..to-1 to the lobby, in one callback of c.
func (l *lab) atOnce(c *actors.Channel, from, to int, options ...actors.SendOption) {
	l.Helper()
	c.After(0, func() {
		for n := from; n < to; n++ {
			must(l, l.rt.Publish("lobby", fmt.Sprintf("%08d", n), options...))
		}
	})
	synctest.Wait()
}

// numbers reads n messages of atOnce.
func (l *lab) numbers(p *transporttest.Peer, n int) (list []int) {
	l.Helper()
	for range n {
		_, text, err := p.ReadMessage(l.Context())
		if err != nil {
			l.Fatalf("after %d messages: %v", len(list), err)
		}
		var number int
		if _, err := fmt.Sscanf(string(text), "%08d", &number); err != nil {
			l.Fatalf("%q: %v", text, err)
		}
		list = append(list, number)
	}
	return list
}

func count(from, to int) (list []int) {
	for n := from; n < to; n++ {
		list = append(list, n)
	}
	return list
}

// writesOf counts the writes of a link.
type writesOf struct {
	transport.Link
	writes atomic.Int32
}

func (w *writesOf) Flush() error {
	if w.Pending() > 0 {
		w.writes.Add(1)
	}
	return w.Link.Flush()
}

// Messages that are published at once reach each member in one write.
func TestABurstIsOneWrite(t *testing.T) {
	inBubble(t, lone, inLobby, func(l *lab) {
		var links []*writesOf
		var peers []*transporttest.Peer
		var c *actors.Channel
		for range 5 {
			link, p := transporttest.Pair(&transport.Config{}, 1<<20)
			link2 := &writesOf{Link: link}
			var err error
			c, err = l.ep.Open(link2, nil, "")
			must(l, err)
			links, peers = append(links, link2), append(peers, p)
		}
		synctest.Wait()
		l.atOnce(c, 0, 100)
		for i, p := range peers {
			if n := links[i].writes.Load(); n != 1 {
				l.Errorf("100 messages left in %d writes", n)
			}
			if got := l.numbers(p, 100); !slices.Equal(got, count(0, 100)) {
				l.Errorf("heard %v", got)
			}
		}
	})
}

// A burst that finds room for some of it is treated message by message, and so is
// one that others have to make room for.
func TestABurstThatOverflowsInTheMiddle(t *testing.T) {
	for _, tt := range []struct {
		policy  actors.Policy
		heard   []int
		outcome actors.Outcome
	}{
		{actors.Reject, append(count(0, 60), count(60, 100)...), actors.Rejected},
		{actors.DropNewest, append(count(0, 60), count(60, 100)...), actors.Dropped},
		{actors.DropOldest, count(20, 120), actors.Dropped},
	} {
		t.Run(tt.policy.String(), func(t *testing.T) {
			cfg := lone
			cfg.Options.MailboxMessages = 101
			inBubble(t, cfg, inLobby, func(l *lab) {
				c, p := l.open(100)
				must(l, c.Send(strings.Repeat("x", 200))) // the peer does not read
				synctest.Wait()
				l.atOnce(c, 0, 60, actors.WithPolicy(tt.policy))
				l.atOnce(c, 60, 120, actors.WithPolicy(tt.policy))
				if messages, bytes := c.Waiting(); messages != 101 || bytes < 100*8+200 {
					l.Errorf("%d messages of %d bytes wait", messages, bytes)
				}
				if lost := l.rt.Stats().Sends[tt.outcome]; lost != 20 {
					l.Errorf("%d are %v", lost, tt.outcome)
				}
				if _, _, err := p.ReadMessage(l.Context()); err != nil {
					l.Fatal(err)
				}
				if got := l.numbers(p, 100); !slices.Equal(got, tt.heard) {
					l.Errorf("heard %v", got)
				}
			})
		})
	}
}

// A burst that is more than a mailbox holds costs those nothing who take what they
// are given: they have their turns in between.
func TestABurstLargerThanAMailbox(t *testing.T) {
	for _, tt := range []struct {
		name            string
		messages, bytes int
	}{
		{"few messages", 10, 0},
		{"one message", 1, 0},
		{"few bytes", 0, 200},
	} {
		for _, policy := range []actors.Policy{actors.DropNewest, actors.DropOldest, actors.Reject} {
			t.Run(tt.name+", "+policy.String(), func(t *testing.T) {
				cfg := lone
				cfg.Options.MailboxMessages, cfg.Options.MailboxBytes = tt.messages, tt.bytes
				cfg.Options.BroadcastOverflow = policy
				cfg.Options.MaxMessageBytes = 100
				inBubble(t, cfg, inLobby, func(l *lab) {
					var peers []*transporttest.Peer
					var c *actors.Channel
					for range 5 {
						var p *transporttest.Peer
						c, p = l.open(1 << 20)
						peers = append(peers, p)
					}
					synctest.Wait()
					l.atOnce(c, 0, 200)
					for out, n := range l.rt.Stats().Sends {
						if out != actors.Written && n > 0 {
							l.Errorf("%d are %v", n, out)
						}
					}
					for _, p := range peers {
						if got := l.numbers(p, 200); !slices.Equal(got, count(0, 200)) {
							l.Fatalf("heard %v", got)
						}
					}
				})
			})
		}
	}
}

// A newer value takes the place of one that waits, also between bursts and among
// what is published with them.
func TestLatestAmongABurst(t *testing.T) {
	inBubble(t, lone, inLobby, func(l *lab) {
		c, p := l.open(100)
		must(l, c.Send(strings.Repeat("x", 200)))
		synctest.Wait()
		c.After(0, func() {
			for n := range 20 {
				var options []actors.SendOption
				if n%5 == 2 {
					options = append(options, actors.Latest("key"))
				}
				must(l, l.rt.Publish("lobby", fmt.Sprintf("%08d", n), options...))
			}
		})
		synctest.Wait()
		if _, _, err := p.ReadMessage(l.Context()); err != nil {
			l.Fatal(err)
		}
		want := []int{0, 1, 17, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14, 15, 16, 18, 19}
		if got := l.numbers(p, len(want)); !slices.Equal(got, want) {
			l.Errorf("heard %v, want %v", got, want)
		}
	})
}

// Of a burst that the peer has taken some of when it goes, each message has the
// outcome that is its own.
func TestABurstThatBreaksOff(t *testing.T) {
	inBubble(t, lone, inLobby, func(l *lab) {
		c, p := l.open(95) // nine messages of ten bytes, and a half
		l.atOnce(c, 0, 60)
		l.atOnce(c, 60, 100)
		if messages, _ := c.Waiting(); messages != 91 {
			l.Errorf("%d messages wait", messages)
		}
		_ = p.Disconnect()
		<-c.Done()
		synctest.Wait()
		sends := l.rt.Stats().Sends
		if sends[actors.Written] != 9 || sends[actors.NotOpen] != 91 || l.rt.Stats().BytesWaiting != 0 {
			l.Errorf("outcomes %v", sends)
		}
	})
}

// What one sender sends to one channel keeps its order within each way there is to
// it: two topics, the user, all, the channel itself. Between them there is none.
func TestEachWayKeepsItsOrder(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		const each = 300
		open := make(chan *actors.Channel, 1)
		s := play(t, d, actors.Options{
			MailboxMessages: 10_000,
			Authorize:       func(http.ResponseWriter, *http.Request) (string, bool) { return "ann", true },
		}, actors.Callbacks{Open: func(c *actors.Channel) {
			_, _ = c.Join("lobby")
			_, _ = c.Join("news")
			open <- c
		}})
		p := s.dial()
		c := get(t, open)
		ways := map[string]func(string) error{
			"lobby": func(m string) error { return s.rt.Publish("lobby", m) },
			"news":  func(m string) error { return s.rt.Publish("news", m) },
			"uid":   func(m string) error { return s.rt.SendUID("ann", m) },
			"all":   func(m string) error { return s.rt.SendAll(m) },
			"send":  func(m string) error { return c.Send(m) },
		}
		for n := range each {
			for way, send := range ways {
				must(t, send(fmt.Sprint(way, " ", n)))
			}
		}
		next := map[string]int{}
		for range each * len(ways) {
			var way string
			var n int
			if _, err := fmt.Sscan(s.read(p), &way, &n); err != nil || n != next[way] {
				t.Fatalf("%s %d, want %d: %v", way, n, next[way], err)
			}
			next[way]++
		}
	})
}
