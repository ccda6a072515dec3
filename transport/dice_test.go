package transport_test

import (
	"bytes"
	"math/rand/v2"

	"github.com/gobwas/ws"
)

// dice makes a fuzzer's bytes into choices, so that a byte that changes changes one
// of them. When the bytes are used up every choice is 0.
type dice struct{ rest []byte }

func (d *dice) more() bool { return len(d.rest) > 0 }

func (d *dice) byte() (b byte) {
	if d.more() {
		b, d.rest = d.rest[0], d.rest[1:]
	}
	return b
}

// n is one of n choices.
func (d *dice) n(n int) int { return int(d.byte()) % n }

// odds is true once in n times, and never of 0.
func (d *dice) odds(n int) bool { return d.n(n) == n-1 }

func (d *dice) bytes(n int) (b []byte) {
	n = min(n, len(d.rest))
	b, d.rest = d.rest[:n:n], d.rest[n:]
	return b
}

// size is small more often than not, and otherwise near where something changes.
func (d *dice) size(edges ...int) int {
	i := d.n(2*len(edges) + 2)
	if i >= len(edges) {
		return d.n(40)
	}
	return max(0, edges[i]-2+d.n(5))
}

// payload is n bytes of one kind or another.
func (d *dice) payload(n int) []byte {
	switch d.n(4) {
	case 0: // the fuzzer's own, again and again
		unit := d.bytes(1 + d.n(8))
		if len(unit) == 0 {
			unit = []byte("ab")
		}
		return bytes.Repeat(unit, n/len(unit)+1)[:n]
	case 1: // text that may end within a rune
		return bytes.Repeat([]byte("é€😀a"), n/10+1)[:n]
	case 2: // bytes that cannot be compressed
		r := rand.New(rand.NewPCG(uint64(d.byte()), 1))
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	return bytes.Repeat([]byte{d.byte()}, n)
}

// pieces cuts bytes as splits say, which is used again when it is at its end;
// empty: not at all.
func pieces(b, splits []byte) (cut [][]byte) {
	if len(splits) == 0 {
		return [][]byte{b}
	}
	for i := 0; len(b) > 0; i++ {
		n := 1 + int(splits[i%len(splits)])
		if n > 128 {
			n = (n - 128) * 256
		}
		n = min(n, len(b))
		cut = append(cut, b[:n])
		b = b[n:]
	}
	return cut
}

// frames is what a client says as the dice fall: mostly what it may say, of all
// lengths.
func (d *dice) frames(compressed bool) (out []byte) {
	open := false
	for d.more() && len(out) < 300_000 {
		c := d.byte()
		fin := c&0x80 == 0
		op := []ws.OpCode{ws.OpText, ws.OpBinary, ws.OpText, ws.OpBinary, ws.OpPing, ws.OpPong, ws.OpClose, 0}[c&7]
		if !op.IsControl() && open != (c&0x40 != 0) {
			op = ws.OpContinuation
		}
		var payload []byte
		if op.IsControl() {
			fin = c&0xc0 != 0xc0
			payload = d.payload(d.size(125))
			if op == ws.OpClose && c&8 == 0 && len(payload) >= 2 {
				payload[0], payload[1] = 3, 0xe8+payload[1]%16
			}
		} else {
			payload = d.payload(d.size(125, 16<<10, 64<<10, 100_000))
			squeeze := compressed && c&0x10 != 0
			if squeeze && op != ws.OpContinuation {
				payload = deflated(payload)
			}
			open = !fin
		}
		f := frame(op, fin, string(payload))
		if compressed && c&0x10 != 0 && op != ws.OpContinuation {
			f = squeezed(f)
		}
		if c&0x20 != 0 && d.odds(8) { // something is wrong with it
			f[d.n(min(4, len(f)))] ^= 1 << d.n(8)
		}
		out = append(out, f...)
	}
	return out
}
