package supervisor

import (
	"fmt"
	"log/slog"
	"strconv"
)

// Plain is s as one harmless line: s itself if all of it is printable, else with
// control characters, line ends, characters that change the direction of the
// text, and bytes that are no UTF-8 escaped as in Go source. What peers may have
// chosen goes through it before it is shown to anybody: whatever prints a log,
// they cannot forge a line in it, or move the cursor of who reads it.
func Plain(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) || r == '\uFFFD' { // the latter may stand for a bad byte
			q := strconv.Quote(s)
			return q[1 : len(q)-1]
		}
	}
	return s
}

// Text is an attribute for a log: strings, errors and other basic values by their
// text, Plain and cut off after about 1 KiB; of anything else, which may be a
// peer's message itself, only the type.
func Text(key string, v any) slog.Attr { return slog.String(key, Plain(reasonText(v))) }

// reasonText is for values of panics: errors and basic values by their text,
// anything else, which may be the message itself, by its type.
func reasonText(v any) string {
	const most = 1024
	var text string
	switch v.(type) {
	case error, string, bool, int, int64, uint64, float64:
		text = fmt.Sprint(v) // survives an Error method that panics
	default:
		text = typeText(v)
	}
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}
