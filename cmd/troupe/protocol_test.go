package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/troupe-actors/troupe/actors"
)

// FuzzRequest: whatever a page says, it is told what is wrong, or it is a request
// within the limits that others can be told of.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"t":"say","text":"hi"}`, `{"t":"name","name":" Ann  B "}`, `{"t":"room","room":"\u202e"}`, `{"t":"typing"}`,
		`{"T":"say","text":"\ud800"}`, `[]`, `{"t":{}}`, `{"t":"\n\u0000"}`, "{\"t\":\"name\",\"name\":\"\xff\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, wrong := parseRequest(actors.Text(string(data)))
		if !utf8.ValidString(wrong) || len(wrong) > 200 {
			t.Errorf("%q", wrong)
		}
		complaint := encode(complaint{"error", wrong})
		if !json.Valid(complaint.Data) {
			t.Errorf("%s", complaint.Data)
		}
		if wrong != "" {
			return
		}
		if name, is := map[string]string{"name": r.Name, "room": r.Room}[r.T]; is {
			if utf8.RuneCountInString(name) > maxName || name != strings.TrimSpace(name) || strings.ContainsFunc(name, unicode.IsControl) {
				t.Errorf("a name %q", name)
			}
			if again, wrong := tidyName("A name", name); again != name || wrong != "" {
				t.Errorf("%q is tidied to %q, %s", name, again, wrong)
			}
		}
		if r.T == "say" && (strings.TrimSpace(r.Text) == "" || utf8.RuneCountInString(r.Text) > maxText) {
			t.Errorf("a text %q", r.Text)
		}
	})
}
