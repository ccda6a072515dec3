package supervisor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "",
		"ann":                "ann",
		`ann "the \ one"`:    `ann "the \ one"`,
		"größe 東京":           "größe 東京",
		"a\nb":               `a\nb`,
		"a\r\nb":             `a\r\nb`,
		"a\tb\x00\x1b[2J":    `a\tb\x00\x1b[2J`,
		"\u2028\u202egpj":    `\u2028\u202egpj`,
		"\x7f\u0085":         `\x7f\u0085`,
		"\xff":               `\xff`,
		"quoted \" and \n":   `quoted \" and \n`,
		"no break\u00a0here": `no break\u00a0here`,
	} {
		if got := Plain(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// bare is a handler that quotes nothing, as some that write to terminals do.
type bare struct{ w *bytes.Buffer }

func (bare) Enabled(context.Context, slog.Level) bool { return true }
func (b bare) WithAttrs([]slog.Attr) slog.Handler     { return b }
func (b bare) WithGroup(string) slog.Handler          { return b }
func (b bare) Handle(_ context.Context, r slog.Record) error {
	b.w.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		b.w.WriteString(" " + a.Key + "=" + a.Value.String())
		return true
	})
	b.w.WriteByte('\n')
	return nil
}

// Nobody writes into a log what looks like a line of its own: not by a uid, an
// address, a close reason, or an error's or a panic's text.
func TestNoEventForgesALogLine(t *testing.T) {
	const evil = "x\r\nlevel=ERROR msg=\"forged\"\x1b[1A\x00\u202e\u2028\xff\u0085"
	for _, e := range []Event{
		Opened{ID: "1", UID: evil, Remote: evil},
		Closed{ID: "1", UID: evil, Reason: evil, Err: errors.New(evil)},
		HandlerFailed{ID: "1", UID: evil, Message: evil, Reason: evil},
		HandlerFailed{ID: "1", Reason: errors.New(evil)},
		HandlerStuck{ID: "1", UID: evil},
		Refused{Remote: evil, Reason: evil},
		Lost{ID: "1", UID: evil},
	} {
		for name, h := range map[string]func(w *bytes.Buffer) *slog.Logger{
			"text": plain,
			"JSON": func(w *bytes.Buffer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) },
			"bare": func(w *bytes.Buffer) *slog.Logger { return slog.New(bare{w}) },
		} {
			var w bytes.Buffer
			l := h(&w)
			l.LogAttrs(t.Context(), slog.LevelError, e.Name(), e.Attrs()...)
			line, ended := strings.CutSuffix(w.String(), "\n")
			if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); !ended || i >= 0 || !utf8.ValidString(line) {
				t.Errorf("%s, %s: %q", e.Name(), name, w.String())
			}
			if !strings.Contains(line, "forged") {
				t.Errorf("%s, %s: the text itself is gone: %s", e.Name(), name, line)
			}
		}
	}
}

// FuzzPlain: any text becomes one line that can be shown to anybody, and from which
// it can be told what it was.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"", "ann", "größe", `a\nb`, "a\nb", "\u202e\xff\"", "\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Plain(s)
		if i := strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 || !utf8.ValidString(got) {
			t.Fatalf("%q", got)
		}
		if got == s {
			return
		}
		if back, err := strconv.Unquote(`"` + got + `"`); err != nil || back != s {
			t.Fatalf("%q is shown as %s: %q, %v", s, got, back, err)
		}
	})
}
