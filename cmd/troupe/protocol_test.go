package main

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzRequest: whatever a page says, it is told what is wrong, or it is a request
// within the limits that others can be told of.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{"hi", " Ann  B ", "\u202e", "\n\x00", "\xff", strings.Repeat("🎭", 2001)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		told := func(wrong string) bool {
			if !utf8.ValidString(wrong) || len(wrong) > 120 {
				t.Errorf("%q", wrong)
			}
			return wrong != ""
		}
		if name, wrong := tidyName("A room's name", s); !told(wrong) {
			if utf8.RuneCountInString(name) > maxName || name != strings.TrimSpace(name) || strings.ContainsFunc(name, unicode.IsControl) {
				t.Errorf("a name %q", name)
			}
			if again, wrong := tidyName("A name", name); again != name || wrong != "" {
				t.Errorf("%q is tidied to %q, %s", name, again, wrong)
			}
		}
		if m := (saying{Key: s, Text: s}); !told(m.check()) {
			if strings.TrimSpace(s) == "" || utf8.RuneCountInString(s) > maxText || len(s) > maxKey {
				t.Errorf("a text %q", s)
			}
		}
	})
}
