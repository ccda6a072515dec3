package conformance

import (
	"fmt"
	"strings"
)

// sends is a case that sends bytes in one call.
func sends(frames ...[]byte) func(*client) error {
	return func(c *client) error { c.send(frames...); return nil }
}

// sendsEach is one that sends each frame in a call of its own.
func sendsEach(frames ...[]byte) func(*client) error {
	return func(c *client) error {
		for _, f := range frames {
			c.send(f)
		}
		return nil
	}
}

// sendsChopped is one that sends all in pieces of a size.
func sendsChopped(size int, frames ...[]byte) func(*client) error {
	return func(c *client) error { c.chopped(size, frames...); return nil }
}

var protocolError = []uint16{1002}

// framingCases are section 1: messages of all encodings of a length.
func framingCases() (list []publicCase) {
	for i, op := range []byte{opText, opBinary} {
		letter := []string{"*", "\xfe"}[i]
		for j, n := range []int{0, 125, 126, 127, 128, 65535, 65536, 65536} {
			data := strings.Repeat(letter, n)
			p := publicCase{
				number: fmt.Sprintf("1.%d.%d", i+1, j+1),
				play:   sends(whole(op, data)),
				want:   []event{{op, data}},
			}
			if j == 7 {
				p.play = sendsChopped(997, whole(op, data))
			}
			list = append(list, p)
		}
	}
	return list
}

const mixed = "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"

// pingCases are section 2.
func pingCases() []publicCase {
	pong := func(data string) []event { return []event{{opPong, data}} }
	full := strings.Repeat("\xfe", 125)
	var ten [][]byte
	var tenPongs []event
	for i := range 10 {
		data := fmt.Sprintf("payload-%d", i)
		ten = append(ten, whole(opPing, data))
		tenPongs = append(tenPongs, event{opPong, data})
	}
	unasked := whole(opPong, "unsolicited pong payload")
	return []publicCase{
		{number: "2.1", play: sends(whole(opPing, "")), want: pong("")},
		{number: "2.2", play: sends(whole(opPing, "Hello, world!")), want: pong("Hello, world!")},
		{number: "2.3", play: sends(whole(opPing, mixed)), want: pong(mixed)},
		{number: "2.4", play: sends(whole(opPing, full)), want: pong(full)},
		{number: "2.5", play: sends(whole(opPing, full+"\xfe")), fails: true, codes: protocolError},
		{number: "2.6", play: sendsChopped(1, whole(opPing, full)), want: pong(full)},
		{number: "2.7", play: sends(whole(opPong, ""))},
		{number: "2.8", play: sends(unasked)},
		{number: "2.9", play: sends(unasked, whole(opPing, "ping payload")), want: pong("ping payload")},
		{number: "2.10", play: sendsEach(ten...), want: tenPongs},
		{number: "2.11", play: sendsChopped(1, ten...), want: tenPongs},
	}
}

// bitCases are section 3: reserved bits that nobody has agreed on.
func bitCases() []publicCase {
	const hello = "Hello, world!"
	text, ping := whole(opText, hello), whole(opPing, "")
	echo, none := []event{{opText, hello}}, []event{}
	rsv := func(op byte, bits byte, data string) []byte { return masked(bitFin|bits<<4|op, data) }
	return []publicCase{
		{number: "3.1", play: sends(rsv(opText, 1, hello)), fails: true, codes: protocolError},
		{number: "3.2", play: sends(text, rsv(opText, 2, hello), ping), want: echo, lax: none, fails: true, codes: protocolError},
		{number: "3.3", play: sendsEach(text, rsv(opText, 3, hello), ping), want: echo, lax: none, fails: true, codes: protocolError},
		{number: "3.4", play: sendsChopped(1, text, rsv(opText, 4, hello), ping), want: echo, lax: none, fails: true, codes: protocolError},
		{number: "3.5", play: sends(rsv(opBinary, 5, mixed)), fails: true, codes: protocolError},
		{number: "3.6", play: sends(rsv(opPing, 6, hello)), fails: true, codes: protocolError},
		{number: "3.7", play: sends(rsv(opClose, 7, "")), fails: true, codes: protocolError},
	}
}

// opcodeCases are section 4: opcodes that mean nothing, of data and of control.
func opcodeCases() (list []publicCase) {
	const hello = "Hello, world!"
	text, ping := whole(opText, hello), whole(opPing, "")
	for i, first := range []byte{3, 11} {
		for j := range byte(5) {
			data := ""
			if j%2 == 1 || j == 4 {
				data = hello
			}
			p := publicCase{
				number: fmt.Sprintf("4.%d.%d", i+1, j+1),
				fails:  true,
				codes:  protocolError,
			}
			unknown := whole(first+j, data)
			switch j {
			case 0, 1:
				p.play = sends(unknown)
			case 2, 3:
				p.play = sends(text, unknown, ping)
			case 4:
				p.play = sendsChopped(1, text, unknown, ping)
			}
			if j >= 2 {
				p.want, p.lax = []event{{opText, hello}}, []event{}
			}
			list = append(list, p)
		}
	}
	return list
}

// fragmentCases are section 5.
func fragmentCases() []publicCase {
	const whole1 = "fragment1fragment2"
	end := func(data string) []byte { return masked(bitFin|opContinuation, data) }
	two := [][]byte{part(opText, "fragment1"), end("fragment2")}
	pinged := [][]byte{two[0], whole(opPing, "ping payload"), two[1]}
	echo := []event{{opText, whole1}}
	answers := append([]event{{opPong, "ping payload"}}, echo...)
	orphan := func(first byte) [][]byte {
		return [][]byte{masked(first, "non-continuation payload"), whole(opText, "Hello, world!")}
	}
	last, more := orphan(bitFin|opContinuation), orphan(opContinuation)
	twice := func(first byte) []byte {
		one := string(masked(first, "fragment1")) + string(part(opText, "fragment2")) + string(end("fragment3"))
		return []byte(one + one)
	}
	again := [][]byte{part(opText, "fragment1"), whole(opText, "fragment2")}
	five := []event{
		{opPong, "pongme 1!"},
		{opPong, "pongme 2!"},
		{opText, "fragment1fragment2fragment3fragment4fragment5"},
	}
	refused := func(number string, play func(*client) error) publicCase {
		return publicCase{number: number, play: play, fails: true, codes: protocolError}
	}
	behind := refused("5.15", sends(two[0], two[1], part(opContinuation, "fragment3"), whole(opText, "fragment4")))
	behind.want, behind.lax = echo, []event{}
	return []publicCase{
		refused("5.1", sends(part(opPing, "fragment1"), end("fragment2"))),
		refused("5.2", sends(part(opPong, "fragment1"), end("fragment2"))),
		{number: "5.3", play: sends(two...), want: echo},
		{number: "5.4", play: sendsEach(two...), want: echo},
		{number: "5.5", play: sendsChopped(1, two...), want: echo},
		{number: "5.6", play: sends(pinged...), want: answers},
		{number: "5.7", play: sendsEach(pinged...), want: answers},
		{number: "5.8", play: sendsChopped(1, pinged...), want: answers},
		refused("5.9", sends(last...)),
		refused("5.10", sendsEach(last...)),
		refused("5.11", sendsChopped(1, last...)),
		refused("5.12", sends(more...)),
		refused("5.13", sendsEach(more...)),
		refused("5.14", sendsChopped(1, more...)),
		behind,
		refused("5.16", sends(twice(opContinuation))),
		refused("5.17", sends(twice(bitFin|opContinuation))),
		refused("5.18", sends(again...)),
		{number: "5.19", play: paused(sends), want: five},
		{number: "5.20", play: paused(sendsEach), want: five},
	}
}

// paused sends a message in five fragments, and goes on only when the ping behind
// the second was answered.
func paused(how func(...[]byte) func(*client) error) func(*client) error {
	return func(c *client) error {
		_ = how(part(opText, "fragment1"), part(opContinuation, "fragment2"), whole(opPing, "pongme 1!"))(c)
		c.await(1)
		return how(part(opContinuation, "fragment3"), part(opContinuation, "fragment4"), whole(opPing, "pongme 2!"),
			masked(bitFin|opContinuation, "fragment5"))(c)
	}
}
