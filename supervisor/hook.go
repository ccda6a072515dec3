package supervisor

import (
	"context"
	"log/slog"
	"runtime/debug"
)

// Hook hears every Event. It runs on the goroutine of whoever reports, a
// channel's among them, and on many at once: it must be safe for that and must
// not wait; one that has much to do hands over to a goroutine of its own.
type Hook func(Event)

// Log is a Hook that writes each event to l (nil: slog.Default, at the time of
// the event) with its level, name and attributes, each on one line
// whatever l makes of it (but for a stack). Payloads are never written.
func Log(l *slog.Logger) Hook {
	return func(e Event) {
		l := l
		if l == nil {
			l = slog.Default()
		}
		if ctx := context.Background(); l.Enabled(ctx, e.Level()) {
			l.LogAttrs(ctx, e.Level(), e.Name(), e.Attrs()...)
		}
	}
}

// Tee is a Hook that calls each of the hooks in order, guarded: a panic in one
// does not keep an event from the next. Nil hooks are left out.
func Tee(hooks ...Hook) Hook {
	guarded := make([]Hook, 0, len(hooks))
	for _, h := range hooks {
		if h != nil {
			guarded = append(guarded, Guard(h))
		}
	}
	return func(e Event) {
		for _, h := range guarded {
			h(e)
		}
	}
}

// Guard is h, but a panic in it goes no further than an error in slog.Default,
// of which there are no more than [Bounded] tells. Guard(nil) is a Hook that does
// nothing.
func Guard(h Hook) Hook {
	if h == nil {
		return func(Event) {}
	}
	told := new(lines)
	return func(e Event) {
		defer func() {
			if r := recover(); r != nil {
				hookPanicked(told, e, r)
			}
		}()
		h(e)
	}
}

func hookPanicked(told *lines, e Event, reason any) {
	defer func() { _ = recover() }() // the default logger may be what panicked
	slog.New(bounded{slog.Default().Handler(), told}).Error("panic in an event hook", slog.String("event", e.Name()), Text("reason", reason),
		slog.String("stack", string(debug.Stack())))
}
