package conformance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// echoed sends bytes, in one write or byte by byte, and wants messages back.
func (s *server) echoed(t *testing.T, bytes []byte, want ...event) {
	t.Helper()
	for _, chop := range []int{len(bytes), 1} {
		if chop == 1 && len(bytes) > 4096 {
			chop = 997
		}
		c := s.dial(t, "/", "")
		c.chopped(chop, bytes)
		c.await(len(want))
		c.close(1000, "")
		c.finish()
		if err := c.orderly(); err != nil || !slices.Equal(c.heard, want) {
			t.Errorf("in pieces of %d: heard %v, want %v; closed with %d %q, %v", chop, c.heard, want, c.code, c.reason, err)
		}
	}
}

// TestRFC6455_5_2_Lengths: around each border of the three encodings.
func TestRFC6455_5_2_Lengths(t *testing.T) {
	everywhere(t, func(t *testing.T, s *server) {
		for _, n := range []int{0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 4095, 4096, 16383, 16384, 65534, 65535, 65536, 65537, 131072} {
			data := strings.Repeat("x", n)
			s.echoed(t, whole(opText, data), event{opText, data})
			s.echoed(t, fragments(0, opBinary, data, 1+n/3), event{opBinary, data})
		}
	})
}

// TestRFC6455_5_3_Masks: any key masks, also one that changes nothing.
func TestRFC6455_5_3_Masks(t *testing.T) {
	was := key
	defer func() { key = was }()
	everywhere(t, func(t *testing.T, s *server) {
		for _, k := range [][4]byte{{}, {0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 1}, {0x80, 0, 0, 0}, {1, 2, 3, 4}} {
			key = k
			for n := range 9 { // each rest by four
				data := "grüße, z"[:n]
				s.echoed(t, join(part(opBinary, data), masked(0, data), masked(bitFin, "!")), event{opBinary, data + data + "!"})
			}
		}
	})
}

// TestRFC6455_5_4_Fragments: a message in any fragments, empty ones among them, with
// control frames between, which are answered before the message is.
func TestRFC6455_5_4_Fragments(t *testing.T) {
	size, runs := 256<<10, 3
	if extent != "" {
		size, runs = maxMessage, 8
	}
	everywhere(t, func(t *testing.T, s *server) {
		for seed := range runs {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(seed), 5))
				data := strings.Repeat("Grüße! ", size/9+1)[:size-size%9]
				var bytes []byte
				var want []event
				first := byte(opText)
				for rest := data; rest != ""; {
					n := r.IntN(1 << r.IntN(20))
					n = min(n, len(rest))
					bytes = append(bytes, part(first, rest[:n])...)
					rest, first = rest[n:], opContinuation
					if r.IntN(8) == 0 && len(want) < 200 {
						word := fmt.Sprint("ping ", len(want))
						bytes = append(bytes, whole(opPing, word)...)
						bytes = append(bytes, whole(opPong, "nobody asked")...)
						want = append(want, event{opPong, word})
					}
				}
				bytes = append(bytes, masked(bitFin, "")...)
				c := s.dial(t, "/", "")
				c.send(bytes)
				for c.op == 0 && (len(c.heard) == 0 || c.heard[len(c.heard)-1].op != opText) {
					if _, open := c.next(); !open {
						break
					}
				}
				c.close(1000, "")
				c.finish()
				if err := c.orderly(); err != nil {
					t.Fatal(err)
				}
				// Of pings that come faster than pongs leave the latest has one.
				last := len(c.heard) - 1
				if last < 0 || c.heard[last] != (event{opText, data}) {
					t.Fatalf("heard %v", c.heard)
				}
				if !subsequence(c.heard[:last], want) || len(want) > 0 && (last == 0 || c.heard[last-1] != want[len(want)-1]) {
					t.Errorf("pongs %v for %v", c.heard[:last], want)
				}
			})
		}
	})
}

// subsequence reports whether all of a is in b, in the same order.
func subsequence(a, b []event) bool {
	for _, e := range a {
		i := slices.Index(b, e)
		if i < 0 {
			return false
		}
		b = b[i+1:]
	}
	return true
}

// TestRFC6455_5_5_3_PongsRaceData: pings, pongs and messages both ways at the same
// time: messages keep their order, each ping that is answered is so once and in order,
// and the last one is.
func TestRFC6455_5_5_3_PongsRaceData(t *testing.T) {
	const rounds = 300
	everywhere(t, func(t *testing.T, s *server) {
		c := s.dial(t, "/", "")
		var messages, pongs []event
		for i := range rounds {
			messages = append(messages, event{opBinary, strings.Repeat("m", i*7) + fmt.Sprint(i)})
			pongs = append(pongs, event{opPong, fmt.Sprint(i)})
		}
		sent := make(chan error, 1)
		go func() {
			for i, m := range messages {
				half := len(m.data) / 2
				if _, err := c.conn.Write(join(part(opBinary, m.data[:half]), whole(opPing, pongs[i].data), masked(bitFin, m.data[half:]), whole(opPong, "?"))); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		var m, p []event
		for len(m) < rounds {
			e, open := c.next()
			if !open {
				break
			}
			if e.op == opPong {
				p = append(p, e)
			} else {
				m = append(m, e)
			}
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		c.close(1000, "")
		c.finish()
		if err := c.orderly(); err != nil {
			t.Error(err)
		}
		if !slices.Equal(m, messages) {
			t.Errorf("%d messages, not those that were sent", len(m))
		}
		if !subsequence(p, pongs) || len(p) == 0 || p[len(p)-1] != pongs[rounds-1] {
			t.Errorf("pongs %v", p)
		}
	})
}

// TestRFC6455_8_1_FailFast: each text that is no UTF-8 is refused at the byte that
// makes it so, although its frame, or its message, goes on.
func TestRFC6455_8_1_FailFast(t *testing.T) {
	everywhere(t, func(t *testing.T, s *server) {
		for _, bad := range []string{
			"\x80", "\xc0", "\xc1", "\xf5", "\xff", "a\xff", "\xc2a", "\xe0\x9f", "\xed\xa0", "\xf0\x8f", "\xf4\x90",
			"\xe2\x82a", "\xf0\x90\x80a", kosme + "\xed\xa0", kosme + "\xf4\x90", strings.Repeat(kosme, 1000) + "\xff",
		} {
			for name, bytes := range map[string][]byte{
				"in a frame of which more must come":           withPayload(header(bitFin|opText, 8, 1<<20), bad),
				"in a fragment of a message that goes on":      part(opText, bad),
				"in a later fragment, of which more must come": join(part(opText, kosme[:len(kosme)-2]), withPayload(header(0, 8, 1<<20), kosme[len(kosme)-2:]+bad)),
				"each byte a fragment":                         fragments(0, opText, bad+"x", 1)[:7*len(bad)],
			} {
				c := s.dial(t, "/", "")
				c.send(bytes)
				c.finish()
				if err := c.orderly(); err != nil || c.code != 1007 || !c.first {
					t.Errorf("%q %s: closed with %d %q, %v", bad, name, c.code, c.reason, err)
				}
			}
		}
	})
}
