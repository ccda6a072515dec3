package conformance

import (
	"fmt"
	"strings"
	"time"
)

// limitCases are sections 9 and 10: large messages, in pieces of all kinds, and many.
// Unless all of it is asked for, messages of section 9 are a sixteenth as large and a
// twentieth as many.
func limitCases() (list []publicCase) {
	size, rounds := 16, 50
	if extent != "" {
		size, rounds = 1, 1000
	}
	const kilo, mega = 1 << 10, 1 << 20
	fill := func(n int) string { return strings.Repeat("BAsd7&jh23", n/size/10+1)[:n/size] }
	for i, n := range []int{64 * kilo, 256 * kilo, mega, 4 * mega, 8 * mega, 16 * mega} {
		for j, op := range []byte{opText, opBinary} {
			list = append(list, once(fmt.Sprintf("9.%d.%d", j+1, i+1), op, fill(n), func(c *client, data string) {
				c.send(whole(op, data))
			}))
		}
	}
	for i, piece := range []int{64, 256, kilo, 4 * kilo, 16 * kilo, 64 * kilo, 256 * kilo, mega, 4 * mega} {
		for j, op := range []byte{opText, opBinary} {
			data := strings.Repeat("*", 4*mega/size)
			list = append(list, once(fmt.Sprintf("9.%d.%d", j+3, i+1), op, data, func(c *client, data string) {
				c.send(fragments(0, op, data, piece))
			}))
		}
	}
	for i, piece := range []int{64, 128, 256, 512, kilo, 2 * kilo} {
		for j, op := range []byte{opText, opBinary} {
			list = append(list, once(fmt.Sprintf("9.%d.%d", j+5, i+1), op, fill(mega), func(c *client, data string) {
				c.chopped(piece, whole(op, data))
			}))
		}
	}
	for i, n := range []int{0, 16, 64, 256, kilo, 4 * kilo} {
		for j, op := range []byte{opText, opBinary} {
			data := strings.Repeat([]string{"*", "\xfe"}[j], n)
			p := publicCase{number: fmt.Sprintf("9.%d.%d", j+7, i+1), limit: 8 * time.Minute}
			p.play = func(c *client) error { return rounded(c, op, data, rounds) }
			list = append(list, p)
		}
	}
	list = inOrder(list)
	const auto = 1300
	data := strings.Repeat("*", 65536)
	return append(list, publicCase{
		number: "10.1.1",
		play: func(c *client) error {
			if n := (len(data) + auto - 1) / auto; n != 51 {
				return fmt.Errorf("%d frames, want 50 and a last one", n)
			}
			c.send(fragments(0, opText, data, auto))
			return nil
		},
		want: []event{{opText, data}},
	})
}

// once is a case of one large message, which is echoed.
func once(number string, op byte, data string, send func(*client, string)) publicCase {
	return publicCase{
		number: number,
		play:   func(c *client) error { send(c, data); return nil },
		want:   []event{{op, data}},
		limit:  8 * time.Minute,
	}
}

// rounded sends a message so many times, each when the one before is back.
func rounded(c *client, op byte, data string, rounds int) error {
	f := whole(op, data)
	for i := range rounds {
		c.send(f)
		e, open := c.next()
		if !open || e != (event{op, data}) {
			return fmt.Errorf("message %d: %v, open %t", i, e, open)
		}
		c.heard = c.heard[:0]
	}
	return nil
}

// inOrder sorts cases that were made two sections at a time: 9.1 before 9.2.
func inOrder(list []publicCase) []publicCase {
	var sorted []publicCase
	for section := 1; section <= 8; section++ {
		for _, p := range list {
			if strings.HasPrefix(p.number, fmt.Sprintf("9.%d.", section)) {
				sorted = append(sorted, p)
			}
		}
	}
	return sorted
}
