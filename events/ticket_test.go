package events

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Tickets are as a list of them would be that is looked through each time.
func TestTicketsAgainstAList(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { ticketsAgainstAList(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func ticketsAgainstAList(t *testing.T, dice *rand.Rand) {
	srv := &Server{tickets: tickets{max: 1 + dice.IntN(20)}}
	type entry struct {
		text, uid    string
		given, until time.Time
	}
	var list []entry
	var spent []string
	for range 500 {
		switch now := time.Now(); dice.IntN(8) {
		case 0, 1, 2:
			e := entry{uid: fmt.Sprint(dice.IntN(4)), given: now, until: now.Add(time.Duration(1 + dice.IntN(20)))}
			before := len(srv.tickets.given)
			text, err := srv.Ticket(Identity{UID: e.uid}, e.until.Sub(now))
			valid := 0
			for _, other := range list {
				if now.Before(other.until) {
					valid++
				}
			}
			if full := valid >= srv.tickets.max; full != (err == ErrTickets) || !full && err != nil {
				t.Fatalf("%d of %d are valid: %v", valid, srv.tickets.max, err)
			}
			if gone := before - len(srv.tickets.given); gone > perGive {
				t.Fatalf("%d have gone in one call", gone)
			}
			if err == nil {
				e.text = text
				list = append(list, e)
			}
		case 3, 4, 5:
			if len(list) == 0 {
				continue
			}
			i := dice.IntN(len(list))
			keep := dice.IntN(2) == 0
			id, err := srv.tickets.redeem(list[i].text, keep)
			if ok := now.Before(list[i].until); ok != (err == nil) || ok && id.UID != list[i].uid {
				t.Fatalf("valid is %v: %+v, %v", ok, id, err)
			}
			if !keep {
				spent = append(spent, list[i].text)
				list = slices.Delete(list, i, i+1)
			}
		case 6:
			time.Sleep(time.Duration(dice.IntN(10)))
		case 7:
			uid := fmt.Sprint(dice.IntN(4))
			srv.tickets.revoke(uid, now.UnixNano())
			list = slices.DeleteFunc(list, func(e entry) bool {
				gone := e.uid == uid && e.given.Before(now)
				if gone {
					spent = append(spent, e.text)
				}
				return gone
			})
		}
		for _, e := range list {
			if _, err := srv.tickets.redeem(e.text, true); (err == nil) != time.Now().Before(e.until) {
				t.Fatalf("one is good: %v", err)
			}
		}
		for _, text := range spent {
			if _, err := srv.tickets.redeem(text, true); err == nil {
				t.Fatal("one that is spent is good")
			}
		}
		looksRight(t, &srv.tickets)
	}
}

// looksRight tells whether each ticket is in all three places, once.
func looksRight(t *testing.T, all *tickets) {
	t.Helper()
	if len(all.expire) != len(all.given) {
		t.Fatalf("%d of %d expire", len(all.expire), len(all.given))
	}
	for i, one := range all.expire {
		if one.at != i || all.given[one.key] != one || i > 0 && one.until.Before(all.expire[(i-1)/2].until) {
			t.Fatalf("the %d. is out of its place", i)
		}
	}
	n := 0
	for uid, first := range all.byUID {
		if first == nil || first.prev != nil {
			t.Fatalf("the first of %q", uid)
		}
		for one := first; one != nil; one = one.next {
			if n++; one.identity.UID != uid || all.given[one.key] != one || one.next != nil && one.next.prev != one {
				t.Fatalf("of %q: %+v", uid, one)
			}
		}
	}
	if n != len(all.given) {
		t.Fatalf("%d of %d are somebody's", n, len(all.given))
	}
}

// The worst call there is: all that there may be have expired. No more of them go in it
// than in any other, and it allocates no more.
func BenchmarkTicketAmongExpired(b *testing.B) {
	srv := &Server{tickets: tickets{max: DefaultMaxTickets}}
	fill := func() {
		long := time.Now().Add(-time.Hour)
		for i := len(srv.tickets.given); i < srv.tickets.max; i++ {
			one := &ticket{key: newKey(), identity: Identity{UID: fmt.Sprint(i)}, until: long}
			if !srv.tickets.give(one, long.Add(-time.Hour)) {
				b.Fatal("no room")
			}
		}
	}
	worst := 0
	b.ReportAllocs()
	for b.Loop() {
		if len(srv.tickets.given) < srv.tickets.max/2 {
			b.StopTimer()
			srv.tickets = tickets{max: DefaultMaxTickets}
			fill()
			b.StartTimer()
		}
		before := len(srv.tickets.given)
		if _, err := srv.Ticket(Identity{}, time.Hour); err != nil {
			b.Fatal(err)
		}
		worst = max(worst, before+1-len(srv.tickets.given))
	}
	b.ReportMetric(float64(worst), "gone/call")
}
