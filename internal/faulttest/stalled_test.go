package faulttest

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// One in a hundred never reads. The others must not notice: the ninety-ninth
// percentile of their deliveries is that of a run in which all read, and the memory
// stays within the budget. The stalled are closed: with slow-consumer where their
// mailbox is what gives out, with write-timeout where it is patience.
//
// The channels are in rooms of a hundred, and in each room is one that may not read.
// Rounds in which it does and in which it does not alternate in the same two
// processes, since a machine is never the same twice. The full size fails if in twelve
// of fifteen pairs of rounds the ratio is over 1.10. Where stalled peers make no
// difference that happens in one run of fifty at most, whatever else the machine does:
// no more than half of the ratios are over 1. The small one prints them.
func TestStalledPeersHarmNobody(t *testing.T) {
	const budget = 128 << 20
	r := &rally{
		house: build(t, actors.Config{
			BudgetBytes: budget,
			Options:     actors.Options{MailboxMessages: 14, CloseTimeout: pick(100*time.Millisecond, time.Second)},
		}, actors.ServerConfig{}),
		rooms: pick(4, 100), probes: pick(10, 20), pace: pick(20*time.Millisecond, 300*time.Millisecond),
	}
	r.serve(actors.Options{WriteTimeout: patience}, "/full")
	r.serve(actors.Options{MailboxMessages: 1 << 16, WriteTimeout: r.pace * 15}, "/late")
	r.crowd = gather(t)
	r.ask(request{Do: "dial", URL: r.srv.Addr().String() + "/full", Prefix: "reader-", N: r.readers()})
	r.round("warm", false)

	const enough = 4 // good pairs of fifteen, and the others are less than twelve
	var ratios []float64
	good := 0
	for i := 0; i < pick(1, 15) && good < enough; i++ {
		var p99 [2]time.Duration
		for _, stall := range [][]bool{{false, true}, {true, false}}[i%2] {
			p99[mode(stall)] = r.round(strconv.Itoa(i), stall)
		}
		ratio := float64(p99[1]) / float64(p99[0])
		if ratios = append(ratios, ratio); ratio <= 1.10 {
			good++
		}
		t.Logf("p99 with stalled peers %v, without %v: ratio %.3f, median %.3f", p99[1], p99[0], ratio, median(ratios))
	}
	if full() && good < enough {
		t.Errorf("the others' p99 is more than 1.10 of what it is without stalled peers in %d of %d pairs, median %.3f", len(ratios)-good, len(ratios), median(ratios))
	}
	t.Logf("most bytes waiting %d of %d, resident %d MiB with stalled peers, %d MiB without",
		r.waiting, budget, r.resident[1]>>20, r.resident[0]>>20)
	if r.waiting > budget || r.resident[1] > r.resident[0]+budget {
		t.Errorf("%d bytes wait, resident %d, without stalled peers %d: the budget is %d", r.waiting, r.resident[1], r.resident[0], budget)
	}
	if c := r.ask(request{Do: "leave", DisconnectAll: true}); c.Lost != 0 {
		t.Errorf("%d clients that read were disconnected", c.Lost)
	}
	must(t, r.crowd.End())
	r.end()
}

// rally is a crowd in rooms, with an odd one in each.
type rally struct {
	*house
	crowd    *gathering
	rooms    int
	probes   int           // to each room, in a round
	pace     time.Duration // of these
	expect   int64         // messages that those that read must have got
	waiting  int64         // the most bytes
	resident [2]int        // the most, by mode
}

// mode is 1 for rounds with stalled peers.
func mode(stall bool) int { return map[bool]int{true: 1}[stall] }

func (r *rally) readers() int           { return 99 * r.rooms }
func (r *rally) ask(q request) census   { return r.crowd.ask(q) }
func (r *rally) settle(channels int)    { await(r, func() bool { return r.rt.Len() == channels }) }
func (r *rally) closed(uids string) int { return sum(r.causes(uids)) }

// serve adds an endpoint. Who does not read is sent enough at once to fill what the
// kernel takes; so is who might have been such a one.
func (r *rally) serve(o actors.Options, path string) {
	ep, err := r.rt.Endpoint(o, actors.Callbacks{Open: func(c *actors.Channel) {
		kind, number, _ := strings.Cut(c.UID(), "-")
		n, _ := strconv.Atoi(number)
		if kind != "reader" {
			_ = c.Send(make([]byte, 512<<10))
		}
		if _, err := c.Join(room(n % r.rooms)); err != nil {
			r.Error(err)
		}
	}})
	must(r, err)
	r.mux.Handle(path, ep)
}

func room(n int) string { return "room " + strconv.Itoa(n) }

// round has the odd ones come, sends probes until enough were sent and those that
// stall are gone, and returns the p99 of the readers' deliveries.
func (r *rally) round(name string, stall bool) time.Duration {
	r.Helper()
	prefix := map[bool]string{false: "odd", true: "stalled"}[stall] + name
	odd := request{Do: "dial", N: r.rooms / 2, Stall: stall, Apart: true}
	for i, path := range []string{"/full", map[bool]string{false: "/full", true: "/late"}[stall]} {
		odd.URL, odd.Prefix, odd.First = r.srv.Addr().String()+path, prefix+path[1:]+"-", i*r.rooms/2
		r.ask(odd)
	}
	members := r.readers()
	if !stall {
		members += r.rooms
		r.expect += int64(r.rooms)
	}
	r.settle(r.readers() + r.rooms)
	r.shuffle()
	r.ask(request{Do: "await", Expect: r.expect})
	r.ask(request{Do: "figures"})

	pace := time.NewTicker(r.pace / time.Duration(r.rooms))
	defer pace.Stop()
	late := time.After(patience)
	for n := 0; n < r.probes || stall && r.closed(prefix) < r.rooms; n++ {
		r.waiting = max(r.waiting, r.rt.Stats().BytesWaiting)
		r.resident[mode(stall)] = max(r.resident[mode(stall)], resident())
		for i := range r.rooms {
			probe := make([]byte, probeBytes)
			binary.BigEndian.PutUint64(probe, uint64(time.Now().UnixNano()))
			must(r, r.rt.Publish(room(i), probe))
			<-pace.C
		}
		r.expect += int64(members)
		select {
		case <-late:
			r.Fatalf("%d of %d that stall are closed", r.closed(prefix), r.rooms)
		default:
		}
	}
	r.ask(request{Do: "await", Expect: r.expect})
	c := r.ask(request{Do: "figures"})
	r.Logf("%s: %d deliveries, p50 %v, p99 %v, worst %v", prefix, c.Counted, c.P50, c.P99, c.Worst)
	if c.Lost != 0 {
		r.Errorf("%d clients that read were disconnected", c.Lost)
	}
	r.ask(request{Do: "leave"})
	r.settle(r.readers())
	if stall {
		full, late := r.causes(prefix+"full"), r.causes(prefix+"late")
		if full[supervisor.CauseSlowConsumer] != r.rooms/2 || late[supervisor.CauseWriteTimeout] != r.rooms/2 {
			r.Errorf("the stalled were closed with %s; %s", tally(full), tally(late))
		}
	}
	return c.P99
}

// shuffle has the readers join anew, so that the odd ones are not the last of their
// rooms, behind whom nobody waits.
func (r *rally) shuffle() {
	for c := range r.rt.Channels() {
		if kind, number, _ := strings.Cut(c.UID(), "-"); kind == "reader" {
			n, _ := strconv.Atoi(number)
			c.Leave(room(n % r.rooms))
			_, err := c.Join(room(n % r.rooms))
			must(r, err)
		}
	}
}

func sum(causes map[supervisor.Cause]int) (n int) {
	for _, k := range causes {
		n += k
	}
	return n
}

func median(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	return s[len(s)/2]
}
