package protocol

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestAHelloIsReadAsItWasOffered(t *testing.T) {
	want := &ClientHello{V: 1, Client: "tab-5f.3a_X", Session: "s", Secret: "x", Received: MaxNumber, Token: "ü, \"t\"",
		CSRF: "c", Ticket: "k", Data: json.RawMessage(`{"a":[1]}`), Down: DownPoll, Codec: JSON, From: 7}
	p, err := want.Subprotocol()
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(p, " ,;=\"/") {
		t.Errorf("%q is no token (RFC 9110 §5.6.2)", p)
	}
	got, err := HelloOf([]string{JSON, p})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	// Unknown members are ignored.
	if _, err := ParseClientHello(b(`{"v":1,"client":"a","later":{"x":1}}`)); err != nil {
		t.Error(err)
	}
	bad := &ClientHello{Data: json.RawMessage("{")}
	if _, err := bad.Subprotocol(); !errors.Is(err, ErrHello) {
		t.Error(err)
	}
}

func TestAHelloThatCannotBe(t *testing.T) {
	encoded := func(s string) string { return HelloPrefix + base64.RawURLEncoding.EncodeToString(b(s)) }
	for text, want := range map[string]error{
		``:                                    ErrHello,
		`{`:                                   ErrHello,
		`[]`:                                  ErrHello,
		`1`:                                   ErrHello,
		`{"v":1}`:                             ErrHello,
		`{"v":1,"client":""}`:                 ErrHello,
		`{"v":1,"client":"a b"}`:              ErrHello,
		`{"v":1,"client":"a/b"}`:              ErrHello,
		`{"v":1,"client":"ä"}`:                ErrHello,
		`{"v":1,"client":1}`:                  ErrHello,
		`{"v":"1","client":"a"}`:              ErrHello,
		`{"v":1,"client":"a"} `:               nil,
		`{"v":1,"client":"a"}{}`:              ErrHello,
		`{"v":0,"client":"a"}`:                ErrVersion,
		`{"v":2,"client":"a"}`:                ErrVersion,
		`{"v":2,"client":{"id":"a"}}`:         ErrVersion, // the next version may have other members
		`{"client":{"id":"a"},"v":2}`:         ErrVersion,
		`{"client":"a"}`:                      ErrVersion,
		`{"v":1,"client":"` + long(64) + `"}`: nil,
		`{"v":1,"client":"` + long(65) + `"}`: ErrHello,
		`{"v":1,"client":"a","received":-1}`:  ErrHello,
		`{"v":1,"client":"a","received":1.5}`: ErrHello,
		`{"v":1,"client":"a","received":9007199254740991}`:         nil,
		`{"v":1,"client":"a","received":9007199254740992}`:         ErrHello,
		`{"v":1,"client":"a","from":9007199254740992}`:             ErrHello,
		`{"v":1,"client":"a","from":99999999999999999999999}`:      ErrHello,
		`{"v":1,"client":"a","session":7}`:                         ErrHello,
		`{"v":1,"client":"a","session":"` + long(1<<16) + `"}`:     nil, // whether it is too large is the server's to say
		`{"v":1,"client":"a","data":{"deep":[[[[[[[[[1]]]]]]]]]}}`: nil,
	} {
		for how, got := range map[string]func() error{
			"alone":   func() error { _, err := ParseClientHello(b(text)); return err },
			"offered": func() error { _, err := HelloOf([]string{encoded(text)}); return err },
		} {
			if err := got(); !errors.Is(err, want) {
				t.Errorf("%.60s, %s: %v, want %v", text, how, err, want)
			}
		}
	}
	for _, offered := range [][]string{nil, {JSON}, {HelloPrefix}, {HelloPrefix + "!"}, {HelloPrefix + "eyJ2IjoxfQ=="}, {"troupe.hell"}} {
		if _, err := HelloOf(offered); !errors.Is(err, ErrHello) {
			t.Errorf("%q: %v", offered, err)
		}
	}
}

// §5, as its table has it.
func TestWhoComesBackAfterWhichCode(t *testing.T) {
	for _, span := range []struct {
		from, to uint16
		back     bool
	}{
		{1000, 1000, false},
		{1001, 1001, true},
		{1002, 1003, false},
		{1005, 1006, true}, // no code at all
		{1007, 1010, false},
		{1011, 1013, true},
		{3000, 3499, true},
		{CodeMoved, CodeMoved, true}, // but as another connection of the same client
		{CodeDead, CodeDead, true},
		{CodeExpired, CodeExpired, true},
		{3500, 3999, false},
		{CodeLogout, CodeLogout, false},
		{CodeMalformed, CodeMalformed, false},
		{CodeWindow, CodeWindow, false},
		{4000, 4499, true},
		{4500, 4999, false},
	} {
		for code := int(span.from); code <= int(span.to); code++ {
			if got := Returns(uint16(code)); got != span.back {
				t.Errorf("%d: comes back: %v", code, got)
			}
		}
	}
}

func FuzzHello(f *testing.F) {
	for _, text := range []string{
		`{"v":1,"client":"tab-1"}`,
		`{"v":1,"client":"tab-1","session":"s","secret":"x","received":12,"token":"t","csrf":"c","ticket":"k","data":{"a": [1, "<"]}}`,
		`{"v":1,"client":"a","down":"none","codec":"troupe.v1.msgpack","from":9007199254740991}`,
		`{"v":2,"client":{}}`, `{"v":1,"client":"a","data":null}`, `{"V":1,"CLIENT":"a"}`, `{"v":1,"client":"a","token":"\ud800"}`, `[]`, `{`, ``,
	} {
		f.Add(b(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := ParseClientHello(text)
		if err != nil {
			if !errors.Is(err, ErrHello) && !errors.Is(err, ErrVersion) {
				t.Fatal(err)
			}
			return
		}
		if h.V != Version || !validName(h.Client) || h.Received > MaxNumber || h.From > MaxNumber {
			t.Fatalf("%q: %+v", text, h)
		}
		// As it was read it is offered, and read again.
		p, err := h.Subprotocol()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := HelloOf([]string{JSON, p})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if p2, err := again.Subprotocol(); err != nil || p2 != p {
			t.Fatalf("%q was offered as %q and then %q: %v", text, p, p2, err)
		}
	})
}
