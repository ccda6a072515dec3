package supervisor

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// How many lines of one kind a bounded logger tells: so many at once, and then one
// each time that lineEvery has passed.
const (
	linesAtOnce = 10
	lineEvery   = time.Second
	maxKinds    = 256 // what is of any further kind is of one kind
)

// Bounded is l for lines that others can cause as often as they like: of one kind,
// which is a level and a message, it tells ten at once and then one a second, and says
// with the next that it tells how many it did not: left_out. So messages are constant, and
// what differs is in attributes. Lines below Info are all told. Bounded of one that is
// bounded is that one; loggers made of it by With count as it.
func Bounded(l *slog.Logger) *slog.Logger {
	if _, ok := l.Handler().(bounded); ok {
		return l
	}
	return slog.New(bounded{l.Handler(), new(lines)})
}

type bounded struct {
	slog.Handler
	lines *lines
}

func (b bounded) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return b.Handler.Handle(ctx, r)
	}
	leftOut, ok := b.lines.take(lineKind{r.Level, r.Message}, time.Now())
	if !ok {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Uint64("left_out", leftOut))
	}
	return b.Handler.Handle(ctx, r)
}

func (b bounded) WithAttrs(attrs []slog.Attr) slog.Handler {
	return bounded{b.Handler.WithAttrs(attrs), b.lines}
}

func (b bounded) WithGroup(name string) slog.Handler {
	return bounded{b.Handler.WithGroup(name), b.lines}
}

// lines are those that were told of late, by kind.
type lines struct {
	mu    sync.Mutex
	kinds map[lineKind]*lineCount // guarded by mu
}

type lineKind struct {
	level   slog.Level
	message string
}

type lineCount struct {
	paid    time.Time // until when what was told is paid for: each line costs lineEvery
	leftOut uint64    // since the last that was told
}

// take reports whether a line may be told, and how many of its kind were not since
// the last.
func (l *lines) take(kind lineKind, now time.Time) (leftOut uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[kind]
	if k == nil {
		if len(l.kinds) >= maxKinds {
			kind = lineKind{}
			k = l.kinds[kind]
		}
		if l.kinds == nil {
			l.kinds = make(map[lineKind]*lineCount)
		}
		if k == nil {
			k = new(lineCount)
			l.kinds[kind] = k
		}
	}
	if k.paid.Before(now) {
		k.paid = now
	}
	if k.paid.Sub(now) > (linesAtOnce-1)*lineEvery {
		k.leftOut++
		return 0, false
	}
	k.paid = k.paid.Add(lineEvery)
	leftOut, k.leftOut = k.leftOut, 0
	return leftOut, true
}
