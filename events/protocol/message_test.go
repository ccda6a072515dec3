package protocol

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func b(s string) []byte { return []byte(s) }

// Every kind of §1, in every form that it may have.
var wellFormed = map[string]Message{
	`e said {"text":"a b"}`:      {Kind: Event, Event: b("said"), Data: b(`{"text":"a b"}`)},
	`e said`:                     {Kind: Event, Event: b("said")},
	`e said `:                    {Kind: Event, Event: b("said"), Data: b("")},
	`e said   x `:                {Kind: Event, Event: b("said"), Data: b("  x ")},
	"e said \x00\n\xff":          {Kind: Event, Event: b("said"), Data: b("\x00\n\xff")},
	`e käse/änderung.größe 1`:    {Kind: Event, Event: b("käse/änderung.größe"), Data: b("1")},
	"e \u00a0 1":                 {Kind: Event, Event: b("\u00a0"), Data: b("1")},
	`e ` + long(128):             {Kind: Event, Event: b(long(128))},
	`q 0 f`:                      {Kind: Question, ID: 0, Event: b("f")},
	`q 9007199254740991 f [1,2]`: {Kind: Question, ID: MaxNumber, Event: b("f"), Data: b("[1,2]")},
	`r 7`:                        {Kind: Answer, ID: 7},
	`r 7 `:                       {Kind: Answer, ID: 7, Data: b("")},
	`r 7 "a b"`:                  {Kind: Answer, ID: 7, Data: b(`"a b"`)},
	`x 7 {"code":"busy"}`:        {Kind: Failure, ID: 7, Data: b(`{"code":"busy"}`)},
	`c 10`:                       {Kind: Cancel, ID: 10},
	`g 3`:                        {Kind: Gap, ID: 3},
	`h {"v":1}`:                  {Kind: Hello, Data: b(`{"v":1}`)},
	`a 0`:                        {Kind: Ack},
	`a 12`:                       {Kind: Ack, ID: 12},
	`k 0`:                        {Kind: Kept},
	`k 12`:                       {Kind: Kept, ID: 12},
	`p`:                          {Kind: Ping},
	`o`:                          {Kind: Pong},
	`t`:                          {Kind: Token},
	`t "abc"`:                    {Kind: Token, Data: b(`"abc"`)},
	`b {"code":1000}`:            {Kind: Goodbye, Data: b(`{"code":1000}`)},
}

// And what is none.
var malformedForms = []string{
	"", " ", "  ", "\n", "\x00", "\xff", "é", "E said", "z 1", "0", "ee said", "e\tsaid", "e\nsaid",
	"e", "e ", "e  said", "e \x00", "e sa\tid", "e sa\nid", "e \x7f", "e \u0085", "e \u009f x", "e \xff", "e sa\xc3", "e \xed\xa0\x80", "e " + long(129),
	"q", "q ", "q 1", "q 1 ", "q 1  f", "q f", "q f 1", "q 1 \x01", "q -1 f", "q 01 f", "q 1.0 f", "q +1 f", "q 1e3 f", "q 0x1 f", "q  1 f",
	"q 9007199254740992 f", "q 99999999999999999999 f", "q ١ f",
	"r", "r ", "r x", "r 00", "r  7", "r 7\n", "r -7 1",
	"x", "x 7", "x {}", "x 7x {}",
	"c", "c ", "c x", "c 1 ", "c 1 2", "c 01",
	"g", "g x", "g 1 ", "g 1 2",
	"a", "a ", "a x", "a 1 ", "a 1 1", "a -0",
	"k", "k ", "k x", "k 1 ", "k 1 1", "k -0",
	"h", "hello {}", "b", "bye {}",
	"p ", "p 1", "o ", "o x", "pp", "token x",
}

func long(n int) string { return strings.Repeat("n", n) }

func same(a, b Message) bool {
	return a.Kind == b.Kind && a.ID == b.ID && bytes.Equal(a.Event, b.Event) &&
		bytes.Equal(a.Data, b.Data) && (a.Data == nil) == (b.Data == nil)
}

func TestEveryKindIsTakenApartAndPutTogether(t *testing.T) {
	kinds := map[Kind]bool{}
	for text, want := range wellFormed {
		got, err := Parse(b(text))
		if err != nil || !same(got, want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if again := Append(b("before"), want); string(again) != "before"+text {
			t.Errorf("%q was put together as %q", text, again)
		}
		kinds[want.Kind] = true
	}
	if len(kinds) != 13 {
		t.Errorf("%d kinds of 13", len(kinds))
	}
}

func TestWhatIsNoMessageIsMalformed(t *testing.T) {
	for _, text := range malformedForms {
		if m, err := Parse(b(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %+v, %v", text, m, err)
		}
	}
}

func TestWhichKindsHaveANumber(t *testing.T) {
	for k := range 256 {
		if want := k != 0 && strings.ContainsRune("eqrxcg", rune(k)); Kind(k).Numbered() != want {
			t.Errorf("%q: %v", rune(k), !want)
		}
	}
	if got := Event.String(); got != "e" {
		t.Errorf("an event is written %q", got)
	}
}

func TestParseAndAppendAllocateNothing(t *testing.T) {
	var texts [][]byte
	for text := range wellFormed {
		texts = append(texts, b(text))
	}
	dst := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		for _, text := range texts {
			m, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			dst = Append(dst[:0], m)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNamesOfEvents(t *testing.T) {
	for _, name := range []string{"a", "a.b/c:d-e_f", "größe", "日本", "😀", long(128), "\u00a0", "{}", "~"} {
		if err := CheckEvent(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", " ", "a b", "a\x00", "\x1f", "\x7f", "\u0080", "\u009f", "\xff", long(129), strings.Repeat("ö", 65)} {
		if err := CheckEvent(name); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]uint64{"0": 0, "1": 1, "10": 10, "9007199254740991": MaxNumber} {
		if got, err := ParseNumber(b(text)); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "00", "01", "-1", "+1", " 1", "1 ", "1.0", "1e1", "9007199254740992", "9999999999999999", "18446744073709551617", "½"} {
		if got, err := ParseNumber(b(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for text := range wellFormed {
		f.Add(b(text))
	}
	for _, text := range malformedForms {
		f.Add(b(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if m.ID > MaxNumber || m.Kind == Event != (m.Kind != Question && m.Event != nil) {
			t.Fatalf("%q: %+v", text, m)
		}
		if m.Event != nil && (!utf8.Valid(m.Event) || CheckEvent(string(m.Event)) != nil) {
			t.Fatalf("%q has the event %q", text, m.Event)
		}
		// There is one way to write a message, so what was read is written again.
		if again := Append(nil, m); !bytes.Equal(again, text) {
			t.Fatalf("%q was put together as %q", text, again)
		}
	})
}

func BenchmarkParse(bench *testing.B) {
	text := b(`e said {"text":"hello"}`)
	bench.ReportAllocs()
	for bench.Loop() {
		if _, err := Parse(text); err != nil {
			bench.Fatal(err)
		}
	}
}
