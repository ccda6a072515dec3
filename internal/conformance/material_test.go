package conformance

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
)

// material is something to compress.
type material struct {
	op   byte
	data []rune // of a text, so that it is not cut within a character
	raw  string // of what is none
}

// piece is the next size characters of a text, or bytes, around its end.
func (m material) piece(at, size int) (string, int) {
	if m.op == opBinary {
		end := (at + size) % len(m.raw)
		if end > at {
			return m.raw[at:end], end
		}
		return m.raw[at:] + m.raw[:end], end
	}
	end := (at + size) % len(m.data)
	if end > at {
		return string(m.data[at:end]), end
	}
	return string(m.data[at:]) + string(m.data[:end]), end
}

// materials are as large as the five files of the public suite and of the same
// kinds: records in JSON, a grey picture, prose (sent as binary), HTML, and a
// document that is compressed already.
var materials = sync.OnceValue(func() []material {
	r := rand.New(rand.NewPCG(12, 13))
	words := vocabulary(r, 3000)
	word := func() string { return words[int(float64(len(words))*r.Float64()*r.Float64()*r.Float64())] }
	text := func(size int, next func(b *strings.Builder)) string {
		var b strings.Builder
		for b.Len() < size {
			next(&b)
		}
		return b.String()[:size]
	}

	json := text(194056, func(b *strings.Builder) {
		fmt.Fprintf(b, `{"id":%d,"name":%q,"tags":[%q,%q],"price":%.2f,"open":%t},`+"\n",
			r.IntN(1<<20), word()+" "+word(), word(), word(), r.Float64()*1000, r.IntN(2) == 0)
	})
	html := text(263527, func(b *strings.Builder) {
		fmt.Fprintf(b, `<div class="%s item-%d"><a href="/%s/%d">%s %s %s</a></div>`+"\n", word(), r.IntN(9), word(), r.IntN(99), word(), word(), word())
	})
	prose := text(222218, func(b *strings.Builder) {
		for range 4 + r.IntN(6) {
			b.WriteString(word() + " ")
		}
		b.WriteString("\r\n")
	})
	picture := make([]byte, 263222)
	for i := range picture {
		x, y := i%512, i/512
		picture[i] = byte(x/3 + y/4 + (x*y)>>11 + r.IntN(6))
	}
	document := make([]byte, 1042328)
	for i := range document {
		document[i] = byte(r.UintN(256))
		if i%4096 < 300 { // what stands between its streams
			document[i] = "0000012345 00000 n\r\n"[i%20]
		}
	}
	return []material{
		{op: opText, data: []rune(strings.ToValidUTF8(json, "."))},
		{op: opBinary, raw: string(picture)},
		{op: opBinary, raw: prose},
		{op: opText, data: []rune(strings.ToValidUTF8(html, "."))},
		{op: opBinary, raw: string(document)},
	}
})

// vocabulary is words, some of them with letters of more than one byte.
func vocabulary(r *rand.Rand, n int) []string {
	syllables := []string{"da", "gret", "chen", "mein", "ge", "lieb", "t", "er", "faust", "ü", "ß", "heit", "me", "phi", "sto", "in", "un", "ä", "re", "kunst"}
	list := make([]string, n)
	for i := range list {
		for range 1 + r.IntN(4) {
			list[i] += syllables[r.IntN(len(syllables))]
		}
	}
	return list
}
