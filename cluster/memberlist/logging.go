package memberlist

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
)

const maxLineBytes = 300

// logging is the writer of the library's logger: each line one record, with the
// level it says. To it a peer that is silent is an error, here a warning. Anybody who
// reaches its port makes it complain: so the message is the words with which the line
// begins, and what differs is in an attribute.
type logging struct {
	to  *slog.Logger    // bounded
	ctx context.Context // once it ends nothing is told: sockets are closed under the library
}

var levels = map[string]slog.Level{
	"DEBUG": slog.LevelDebug,
	"INFO":  slog.LevelInfo,
	"WARN":  slog.LevelWarn,
	"ERR":   slog.LevelWarn,
	"ERROR": slog.LevelWarn,
}

func (l *logging) Write(line []byte) (int, error) {
	text, level := string(bytes.TrimSpace(line)), slog.LevelInfo
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if name, rest, ok := strings.Cut(rest, "] "); ok {
			if said, known := levels[name]; known {
				text, level = rest, said
			}
		}
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	if strings.HasPrefix(text, "ignoring alive message") {
		level = slog.LevelDebug // NotifyAlive has told why, once
	}
	if l.ctx.Err() != nil || !l.to.Enabled(l.ctx, level) {
		return len(line), nil
	}
	if len(text) > maxLineBytes {
		text = strings.ToValidUTF8(text[:maxLineBytes], "") + "…"
	}
	l.to.LogAttrs(l.ctx, level, words(text), slog.String("line", text))
	return len(line), nil
}

// words are those that a line begins with, up to what is different in each.
func words(text string) string {
	end := strings.IndexAny(text, `:=@(0123456789"'`)
	if end <= 0 {
		return text
	}
	if space := strings.LastIndexByte(text[:end], ' '); space > 0 && text[end] != ':' {
		end = space
	}
	return text[:end]
}
