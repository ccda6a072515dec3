package actors

import (
	"context"
	"log/slog"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/supervisor"
)

// quiet is a handler for what protoactor logs. Its informational lines are debug
// ones here: the runtime reports the same things as events. Messages and values of
// panics, which it logs as they are, become what [supervisor.Text] makes of them.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return q.Handler.Enabled(ctx, quieter(l))
}

func quieter(l slog.Level) slog.Level {
	if l == slog.LevelInfo {
		return slog.LevelDebug
	}
	return l
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	plain := slog.NewRecord(r.Time, quieter(r.Level), r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		plain.AddAttrs(plainAttr(a))
		return true
	})
	return q.Handler.Handle(ctx, plain)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	plain := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		plain[i] = plainAttr(a)
	}
	return quiet{q.Handler.WithAttrs(plain)}
}

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

func plainAttr(a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string, error:
		return supervisor.Text(a.Key, v)
	case actor.Directive:
		return a
	case *actor.PID:
		return supervisor.Text(a.Key, v.GetId())
	}
	if a.Value.Kind() == slog.KindAny {
		return supervisor.Text(a.Key, a.Value.Any())
	}
	return a
}
