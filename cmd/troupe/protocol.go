package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what people write, in code points; those of the page are the same.
const (
	maxText = 2000
	maxName = 32
	maxKey  = 64 // bytes
)

// What the page says; "typing", too, which has no data.
type (
	// entering is "enter": let me into this room, under this name. It is the first in
	// each session; again, it leads to another room, or to a new welcome of the same.
	// The answer, "welcome" or "wrong", names the same N.
	entering struct {
		N    uint64 `json:"n"`
		Name string `json:"name"`
		Room string `json:"room"`
	}

	// saying is "say". The key, which the page draws by lot, has the same message said
	// once, however often it is sent; the room is the one it is meant for: "" is
	// whatever room the person is in.
	saying struct {
		Room string `json:"room,omitempty"`
		Key  string `json:"key,omitempty"`
		Text string `json:"text"`
	}

	// naming is "name".
	naming struct {
		Name string `json:"name"`
	}
)

// who is a person as others see them.
type who struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// line is a message of a room, told by At and Node from all others. At is in milliseconds
// since 1970, and grows with every line of a room that its node knows.
type line struct {
	Key  string `json:"key,omitempty"`
	From who    `json:"from"`
	Text string `json:"text"`
	At   int64  `json:"at"`
	Node string `json:"node,omitempty"` // where it was said; "" without a cluster
}

// What the server says. Everything about a room names it: an event that was
// already on its way to a person who leaves may still arrive, after the welcome
// of the next room, and the page tells by the name that it is stale.
type (
	// welcome is the first event of each room entered.
	welcome struct {
		N       uint64 `json:"n"`
		ID      string `json:"id"`
		Name    string `json:"name"`
		Room    string `json:"room"`
		Node    string `json:"node,omitempty"` // the person's; "" without a cluster
		People  []who  `json:"people"`
		History []line `json:"history"`
	}

	said struct {
		Room string `json:"room"`
		line
	}

	// happened is "joined", "left", "renamed" (Was is the old name) or "typing".
	happened struct {
		Room string `json:"room"`
		Who  who    `json:"who"`
		Was  string `json:"was,omitempty"`
	}

	// roomList is "rooms".
	roomList struct {
		Rooms []roomCount `json:"rooms"`
	}

	roomCount struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
	}

	// unsaid is a message that will not be said, and why: "" means that it would have
	// gone to another room, or before any was entered.
	unsaid struct {
		Key string `json:"key"`
		Why string `json:"why"`
	}

	// complaint is "wrong": what was wrong with an event.
	complaint struct {
		Event string `json:"event"`
		N     uint64 `json:"n,omitempty"` // of "enter"
		Text  string `json:"text"`
	}
)

// check says, to the person, what is wrong with a message, or "".
func (m saying) check() (wrong string) {
	if len(m.Key) > maxKey {
		return fmt.Sprintf("A key has at most %d bytes.", maxKey)
	}
	return checkText(m.Text)
}

func checkText(s string) (wrong string) {
	if strings.TrimSpace(s) == "" {
		return "A message needs some text."
	}
	if n := utf8.RuneCountInString(s); n > maxText {
		return fmt.Sprintf("A message has at most %d characters; this one has %d.", maxText, n)
	}
	return ""
}

// tidyName trims a name and makes one space of several, as the page does. what
// is the subject of the complaint.
func tidyName(what, s string) (tidy, wrong string) {
	if !utf8.ValidString(s) {
		return "", what + " must be UTF-8."
	}
	s = strings.TrimSpace(s)
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "", what + " has no control characters."
	}
	s = strings.Join(strings.Fields(s), " ")
	if !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) }) {
		return "", what + " must not be empty."
	}
	if utf8.RuneCountInString(s) > maxName {
		return "", fmt.Sprintf("%s has at most %d characters.", what, maxName)
	}
	return s, ""
}
