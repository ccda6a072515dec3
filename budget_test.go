package troupe_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// fill sends so many bytes to a channel, in messages of 1000.
func fill(t testing.TB, c *actors.Channel, bytes int) {
	t.Helper()
	for range bytes / 1000 {
		must(t, c.Send(make([]byte, 1000)))
	}
}

// swept is the causes of the channels that have ended, after a moment.
func (l *lab) swept() []supervisor.Cause {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	var causes []supervisor.Cause
	for _, e := range l.closed {
		causes = append(causes, e.Cause)
	}
	return causes
}

// peers are channels whose peers end with the test.
func (l *lab) peers(n int) (list []*actors.Channel, ends []*transporttest.Peer) {
	for range n {
		c, p := l.open(100)
		list, ends = append(list, c), append(ends, p)
	}
	return list, ends
}

// One that has taken nothing for a second, and holds most of the budget, goes; who
// has only just been sent a lot does not.
func TestTheBudgetIsTakenFromWhoeverIsStalled(t *testing.T) {
	opts := quiet
	opts.CloseTimeout = time.Millisecond
	inBubble(t, actors.Config{BudgetBytes: 100_000, Options: opts}, actors.Callbacks{}, func(l *lab) {
		cs, _ := l.peers(10)
		fill(l, cs[0], 80_000)
		for _, c := range cs[1:] {
			fill(l, c, 1000)
		}
		if err := cs[1].Send(make([]byte, 20_000)); !errors.Is(err, actors.ErrBudget) {
			l.Errorf("the budget is not spent: %v", err)
		}
		if causes := l.swept(); causes != nil {
			l.Fatalf("a burst was taken for a fault: %v", causes)
		}
		time.Sleep(time.Second)
		if err := cs[1].Send(make([]byte, 20_000)); !errors.Is(err, actors.ErrBudget) {
			l.Errorf("the budget is not spent: %v", err)
		}
		time.Sleep(time.Second)
		if causes := l.swept(); len(causes) != 1 || causes[0] != supervisor.CauseOverBudget || cs[0].IsOpen() {
			l.Fatalf("ended by %v", causes)
		}
		must(l, cs[1].Send(make([]byte, 20_000)))
		for _, c := range cs[1:] {
			if !c.IsOpen() {
				l.Error("one that holds little was closed")
			}
		}
	})
}

// Of several that hold a lot of what they may, the worst goes first, and no more
// than must.
func TestTheWorstGoesFirst(t *testing.T) {
	opts := quiet
	opts.MailboxBytes, opts.CloseTimeout = 100_000, time.Millisecond
	inBubble(t, actors.Config{BudgetBytes: 200_000, Options: opts}, actors.Callbacks{}, func(l *lab) {
		cs, ps := l.peers(4)
		fill(l, cs[0], 50_000)
		fill(l, cs[1], 80_000)
		fill(l, cs[2], 40_000)
		fill(l, cs[3], 1000)
		if causes := l.swept(); causes != nil {
			l.Fatalf("too early: %v", causes)
		}
		outcomes := make(chan actors.Outcome, 1)
		must(l, cs[1].Send("x", actors.OnOutcome(func(o actors.Outcome, _ error) { outcomes <- o })))
		fill(l, cs[3], 10_000)
		if used := l.rt.Stats().BytesWaiting; used > 200_000 {
			l.Errorf("%d bytes of the budget are used", used)
		}
		synctest.Wait() // the sweep has looked: a peer that reads before that is none to close
		read := make(chan *transporttest.CloseError, 1)
		go func() { read <- closeOf(l, ps[1]) }()
		if causes := l.swept(); len(causes) != 0 && causes[0] != supervisor.CauseOverBudget {
			l.Errorf("ended by %v", causes)
		}
		if end := <-read; end.Code != 1013 || end.Reason == "" {
			l.Errorf("the peer was told %v", end)
		}
		if o := <-outcomes; o != actors.NotOpen {
			l.Errorf("what it was to be sent is %v", o)
		}
		time.Sleep(time.Minute)
		if causes := l.swept(); len(causes) != 1 || cs[1].IsOpen() {
			l.Errorf("ended by %v", causes)
		}
	})
}

// What waits for a channel whose handler hangs is given back all the same.
func TestTheBudgetOfAStuckChannelIsGivenBack(t *testing.T) {
	release := make(chan struct{})
	opts := quiet
	opts.MailboxBytes, opts.HandlerDeadline = 100_000, time.Hour
	cb := actors.Callbacks{Message: func(*actors.Channel, actors.Message) { <-release }}
	inBubble(t, actors.Config{BudgetBytes: 100_000, Options: opts}, cb, func(l *lab) {
		release = make(chan struct{})
		cs, ps := l.peers(2)
		must(l, ps[0].WriteText("hang"))
		synctest.Wait()
		fill(l, cs[0], 80_000)
		_ = cs[1].Send(make([]byte, 10_000))
		synctest.Wait()
		if used := l.rt.Stats().BytesWaiting; used > 12_000 {
			l.Errorf("%d bytes of the budget are used", used)
		}
		if cs[0].IsOpen() || !cs[1].IsOpen() {
			l.Errorf("open: %v, %v", cs[0].IsOpen(), cs[1].IsOpen())
		}
		close(release)
		_ = ps[0].Disconnect()
		<-cs[0].Done()
	})
}

// sized is a message by PID that counts for so many bytes.
type sized int

func (s sized) Size() int { return int(s) }

// Channels do not go for what an actor of the application's own holds.
func TestNoChannelGoesForAnActor(t *testing.T) {
	opts := quiet
	inBubble(t, actors.Config{BudgetBytes: 100_000, Options: opts}, actors.Callbacks{}, func(l *lab) {
		release := make(chan struct{})
		room := l.rt.System().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
			if _, ok := ctx.Message().(sized); ok {
				<-release
			}
		}, l.rt.Mailbox(0)))
		for range 11 {
			l.rt.System().Root.Send(room, sized(9000))
		}
		cs, _ := l.peers(20)
		for _, c := range cs {
			_ = c.Send(make([]byte, 200))
		}
		time.Sleep(2 * time.Second)
		for _, c := range cs {
			_ = c.Send(make([]byte, 200))
		}
		if causes := l.swept(); causes != nil {
			l.Errorf("ended by %v", causes)
		}
		close(release)
		must(l, l.rt.System().Root.StopFuture(room).Wait())
	})
}

// Peers that send messages without an end are closed, and who sends little does not
// notice.
func TestHalfMessagesDoNotSpendTheBudget(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		_, cb := opening(9)
		// What is reserved are multiples of 4 KiB: for the others there is always
		// a little left.
		s, _ := playWith(t, actors.Config{Driver: d, BudgetBytes: 1<<20 + 2000}, cb)
		good := s.dial()
		const bad = 8
		codes := make(chan uint16, bad)
		var attackers []*transporttest.Peer
		for range bad {
			attackers = append(attackers, s.dial())
		}
		for _, p := range attackers {
			go func() {
				data := make([]byte, 32<<10)
				err := p.WriteFrame(ws.NewFrame(ws.OpBinary, false, data))
				for err == nil {
					err = p.WriteFrame(ws.NewFrame(ws.OpContinuation, false, data))
				}
			}()
			go func() {
				code := closeOf(t, p).Code
				_ = p.Disconnect()
				codes <- code
			}()
		}
		for closed := 0; closed < bad; {
			must(t, good.WriteText("unharmed"))
			if got := s.read(good); got != "unharmed" {
				t.Fatalf("got %q", got)
			}
			select {
			case code := <-codes:
				if closed++; code != 1013 {
					t.Errorf("closed with %d", code)
				}
			default:
			}
		}
		_ = good.Disconnect()
		s.end()
		if got := s.rt.Stats().Causes[supervisor.CauseOverBudget]; got != bad {
			t.Errorf("%d ended over the budget: %v", got, s.rt.Stats().Causes)
		}
	})
}

// Peers that read get every broadcast while those that do not fill the budget and
// go.
func TestReadersOutliveStalledPeers(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open, cb := opening(8)
		const limit = 2 << 20
		s, _ := playWith(t, actors.Config{Driver: d, BudgetBytes: limit, Options: actors.Options{
			MailboxBytes: 1 << 20, BroadcastOverflow: actors.Reject, WriteTimeout: -1, PingInterval: -1,
		}}, cb)
		var readers []*transporttest.Peer
		for range 4 {
			s.dial(transporttest.WithReadBuffer(4096))
			get(t, open)
		}
		for range 4 {
			readers = append(readers, s.dial())
			get(t, open)
		}
		payload := make([]byte, 4<<10)
		for range 100_000 {
			must(t, s.rt.Publish("room", payload))
			for _, p := range readers {
				if got := s.read(p); len(got) != len(payload) {
					t.Fatalf("a reader got %d bytes", len(got))
				}
			}
			st := s.rt.Stats()
			if st.BytesWaiting > limit {
				t.Fatalf("%d bytes of the budget are used", st.BytesWaiting)
			}
			if st.Closed > 0 {
				break
			}
			s.recovers(readers[0], limit) // a sweep takes its time, and this budget is small
		}
		for _, p := range readers {
			must(t, p.WriteText("here"))
			if got := s.read(p); got != "here" {
				t.Errorf("a reader got %q", got)
			}
			_ = p.Disconnect()
		}
		if n := s.rt.Stats().Causes[supervisor.CauseOverBudget]; n == 0 || n > 4 {
			t.Errorf("%d ended over the budget", n)
		}
	})
}

// recovers waits until there is room in the budget again. What the good peer sends
// keeps the sweeps going.
func (s *stage) recovers(good *transporttest.Peer, limit int64) {
	s.Helper()
	for end := time.Now().Add(time.Minute); s.rt.Stats().BytesWaiting > limit-limit/8; {
		must(s, good.WriteText("unharmed"))
		if got := s.read(good); got != "unharmed" {
			s.Fatalf("got %q", got)
		}
		if time.Now().After(end) {
			s.Fatalf("%d bytes of %d are used: %+v", s.rt.Stats().BytesWaiting, limit, s.rt.Stats().Causes)
		}
	}
}

// Those who were swept and do not go are not counted again in the place of others.
func TestTheBudgetOutlivesASecondWave(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		_, cb := opening(80)
		const limit = 4<<20 + 2000 // what is reserved are multiples of 4 KiB, see above
		s, _ := playWith(t, actors.Config{Driver: d, BudgetBytes: limit, Options: actors.Options{CloseTimeout: time.Hour, PingInterval: -1}}, cb)
		good := s.dial()
		var waves [2][]*transporttest.Peer
		for range 25 {
			waves[0] = append(waves[0], s.dial())
			waves[1] = append(waves[1], s.dial())
		}
		half := transporttest.Encode(ws.NewFrame(ws.OpBinary, true, make([]byte, 200<<10)))[:180<<10]
		for _, wave := range waves {
			for _, p := range wave {
				must(t, p.WriteRaw(half))
				must(t, good.WriteText("unharmed"))
				s.read(good)
			}
			s.recovers(good, limit)
		}
		for _, p := range append(waves[0], waves[1]...) {
			_ = p.Disconnect()
		}
		_ = good.Disconnect()
		s.end()
	})
}
