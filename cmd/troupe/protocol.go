package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/troupe-actors/troupe/actors"
)

// Limits of what people write, in code points; those of the page are the same.
const (
	maxText = 2000
	maxName = 32
	maxID   = 64
)

// request is what the page says: "say" with Text, "name" with Name, "room" with
// Room, or "typing".
type request struct {
	T    string `json:"t"`
	Text string `json:"text"`
	Name string `json:"name"`
	Room string `json:"room"`
}

// who is a person as others see them.
type who struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// line is a message of a room. At is in milliseconds since 1970 and grows with
// every line of a room.
type line struct {
	From who    `json:"from"`
	Text string `json:"text"`
	At   int64  `json:"at"`
}

// What the server says. Everything about a room names it: an event that was
// already on its way to a person who leaves may still arrive, after the welcome
// of the next room, and the page tells by the name that it is stale.
type (
	// welcome is the first frame, and the first of each room entered.
	welcome struct {
		T       string `json:"t"` // "welcome"
		ID      string `json:"id"`
		Name    string `json:"name"`
		Room    string `json:"room"`
		People  []who  `json:"people"`
		History []line `json:"history"`
	}

	said struct {
		T    string `json:"t"` // "msg"
		Room string `json:"room"`
		line
	}

	// happened is a "join", "leave", "rename" (Was is the old name) or "typing".
	happened struct {
		T    string `json:"t"`
		Room string `json:"room"`
		Who  who    `json:"who"`
		Was  string `json:"was,omitempty"`
	}

	roomList struct {
		T     string      `json:"t"` // "rooms"
		Rooms []roomCount `json:"rooms"`
	}

	roomCount struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
	}

	complaint struct {
		T    string `json:"t"` // "error"
		Text string `json:"text"`
	}
)

// encode makes a text message of one of the above.
func encode(v any) actors.Message {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // nobody pastes it into a page
	if err := e.Encode(v); err != nil {
		panic(err) // strings and numbers can be encoded
	}
	return actors.Text(strings.TrimSuffix(b.String(), "\n"))
}

// complain tells one person what is wrong with what they sent.
func complain(c *actors.Channel, wrong string) {
	_ = c.Send(encode(complaint{"error", wrong})) // who has no room for it has other troubles
}

// parseRequest reads and checks a message of the page. Unless wrong is empty it
// says, to the person, why the message is not one.
func parseRequest(m actors.Message) (r request, wrong string) {
	if !m.IsText() {
		return r, "Messages must be text."
	}
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return r, "That was no message in JSON."
	}
	switch r.T {
	case "say":
		wrong = checkText(r.Text)
	case "name":
		r.Name, wrong = tidyName("A name", r.Name)
	case "room":
		r.Room, wrong = tidyName("A room's name", r.Room)
	case "typing":
	default:
		wrong = fmt.Sprintf("A message of the kind %.20q is not known here.", r.T)
	}
	return r, wrong
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

// validID reports whether s can be what a page calls itself by.
func validID(s string) bool {
	if len(s) < 1 || len(s) > maxID {
		return false
	}
	for _, b := range []byte(s) {
		switch {
		case 'A' <= b && b <= 'Z', 'a' <= b && b <= 'z', '0' <= b && b <= '9', b == '_', b == '-':
		default:
			return false
		}
	}
	return true
}
