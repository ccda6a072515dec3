package conformance

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

const kosme = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5" // the Greek word of Kuhn's tests, "κόσμε" with an oxia

var invalidPayload = []uint16{1007}

// textCases are 6.1 to 6.4.
func textCases() []publicCase {
	const (
		sample    = "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!"
		surrogate = kosme + "\xed\xa0\x80" + "edited"
		outside   = kosme + "\xf4\x90\x80\x80" + "edited"
	)
	empty, word := []event{{opText, ""}}, []event{{opText, kosme}}
	end := func(data string) []byte { return masked(bitFin|opContinuation, data) }
	half := strings.Index(sample, "\u00fc")
	frames := func(a, b string) func(*client) error {
		return failFast(part(opText, a), part(opContinuation, b), end(outside[len(a)+len(b):]))
	}
	chops := func(a, b string) func(*client) error {
		f := whole(opText, outside)
		head := len(f) - len(outside)
		return failFast(f[:head+len(a)], f[head+len(a):head+len(a)+len(b)], f[head+len(a)+len(b):])
	}
	early := func(number string, play func(*client) error) publicCase {
		return publicCase{
			number: number, play: play, fails: true, codes: invalidPayload,
			want: []event{{opTimeout, "A"}}, lax: []event{{opTimeout, "A"}, {opTimeout, "B"}},
		}
	}
	return []publicCase{
		{number: "6.1.1", play: sends(whole(opText, "")), want: empty},
		{number: "6.1.2", play: sends(part(opText, ""), part(opContinuation, ""), end("")), want: empty},
		{
			number: "6.1.3",
			play:   sends(part(opText, ""), part(opContinuation, "middle frame payload"), end("")),
			want:   []event{{opText, "middle frame payload"}},
		},
		{number: "6.2.1", play: sends(whole(opText, sample)), want: []event{{opText, sample}}},
		{number: "6.2.2", play: sends(part(opText, sample[:half]), end(sample[half:])), want: []event{{opText, sample}}},
		{number: "6.2.3", play: sends(fragments(0, opText, sample, 1)), want: []event{{opText, sample}}},
		{number: "6.2.4", play: sends(fragments(0, opText, kosme, 1)), want: word},
		{number: "6.3.1", play: sends(whole(opText, surrogate)), fails: true, codes: invalidPayload},
		{number: "6.3.2", play: sends(fragments(0, opText, surrogate, 1)), fails: true, codes: invalidPayload},
		early("6.4.1", frames(kosme, "\xf4\x90\x80\x80")),
		early("6.4.2", frames(kosme+"\xf4", "\x90")),
		early("6.4.3", chops(kosme, "\xf4\x90\x80\x80")),
		early("6.4.4", chops(kosme+"\xf4", "\x90")),
	}
}

// failFast sends the first part, which is right as far as it goes, the second,
// which is not, and the third only if the server waits for it.
func failFast(first, second, third []byte) func(*client) error {
	return func(c *client) error {
		c.send(first)
		// That nothing comes is no event to wait for. Waiting in vain for a little
		// while finds a server that fails too early, and no other is found guilty.
		if !c.quiet(10 * time.Millisecond) {
			return nil
		}
		c.hear(opTimeout, "A")
		c.send(second)
		if c.quiet(patience / 2) {
			c.hear(opTimeout, "B")
			c.send(third)
		}
		return nil
	}
}

// quiet reports whether nothing comes for so long.
func (c *client) quiet(d time.Duration) bool {
	c.wait(d)
	_, err := c.in.Peek(1)
	c.wait(patience)
	if n, is := err.(net.Error); is && n.Timeout() {
		return true
	}
	return os.IsTimeout(err)
}

// sequenceCases are 6.5 to 6.23: what is UTF-8 and what is not, after the tests of
// Markus Kuhn.
func sequenceCases() (list []publicCase) {
	for i, group := range sequences() {
		for j, data := range group {
			p := publicCase{number: fmt.Sprintf("6.%d.%d", i+5, j+1), play: sends(whole(opText, data))}
			if utf8.ValidString(data) {
				p.want = []event{{opText, data}}
			} else {
				p.fails, p.codes = true, invalidPayload
			}
			list = append(list, p)
		}
	}
	return list
}

func sequences() [][]string {
	var prefixes []string
	for i := range len(kosme) {
		prefixes = append(prefixes, kosme[:i+1])
	}
	var continuations []string
	for i := range 6 {
		continuations = append(continuations, strings.Repeat("\x80\xbf", 3)[:i+1])
	}
	continuations = append([]string{"\x80", "\xbf"}, continuations[1:]...)
	// The original leaves the last of each range out.
	continuations = append(continuations, each(0x80, 0xbe, ""))
	lonely := []string{
		each(0xc0, 0xde, " "), each(0xe0, 0xee, " "), each(0xf0, 0xf6, " "), each(0xf8, 0xfa, " "), each(0xfc, 0xfc, " "),
	}
	missing := []string{
		"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf",
	}
	var pairs []string
	for _, high := range []string{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf"} {
		pairs = append(pairs, high+"\xed\xb0\x80", high+"\xed\xbf\xbf")
	}
	// U+FFFE and U+FFFF of each plane are no characters, and may be sent.
	nothing := []string{"\ufffe", "\uffff"}
	for plane := rune(1); plane <= 0x10; plane++ {
		nothing = append(nothing, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	return [][]string{
		{"hello$world", "hello\u00a2world", "hello\u20acworld", "hello\U00024b62world", kosme},
		prefixes,
		{"\x00", "\u0080", "\u0800", "\U00010000"},
		{"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"},
		{"\x7f", "\u07ff", "\uffff", "\U0010ffff"},
		{"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"},
		{"\ud7ff", "\ue000", "\ufffd", "\U0010ffff", "\xf4\x90\x80\x80"},
		continuations,
		lonely,
		missing,
		{strings.Join(missing, "")},
		{"\xfe", "\xff", "\xfe\xfe\xff\xff"},
		{"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"},
		{"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"},
		{"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"},
		{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"},
		pairs,
		nothing,
		{"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"},
	}
}

// each is the bytes from one to another, with something behind each.
func each(from, to byte, behind string) string {
	var b strings.Builder
	for x := int(from); x <= int(to); x++ {
		b.WriteByte(byte(x))
		b.WriteString(behind)
	}
	return b.String()
}
