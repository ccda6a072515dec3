package membershiptest

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// Log keeps what a [log/slog.Handler] writes to it. Its methods may be called from any
// goroutine, Await from that of the test. The zero Log is ready.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer  // guarded by mu
	more chan struct{} // closed at the next Write; guarded by mu
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.text.Write(b)
}

// String is all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Await waits until text has been written. After patience it fails the test.
func (l *Log) Await(t testing.TB, patience time.Duration, text string) {
	t.Helper()
	late := time.After(patience)
	for {
		l.mu.Lock()
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more, said := l.more, strings.Contains(l.text.String(), text)
		l.mu.Unlock()
		if said {
			return
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("%q was not logged", text)
		}
	}
}
