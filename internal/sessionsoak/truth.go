package main

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// truth is what is known to have happened, at both ends.
type truth struct {
	seed uint64

	ups, downs, news, states, asked, askedBack, gaps   atomic.Int64
	opened, resumed, attached, lives, forged, panicked atomic.Int64
	receipts, pendingReceipts, pendingThens, slow      atomic.Int64

	mu     sync.Mutex
	books  map[string]*book   // by session; guarded by mu, as what follows
	guests map[string]*guest  // by client's name
	byName map[string][]*book // in the order in which they were opened
	online map[string]bool    // as a watcher is told

	last    sync.Mutex        // the last to be locked: behind mu, a guest's and a book's
	wrong   int               // guarded by last
	diaries map[string]*diary // by client's name; guarded by last
}

// wrongf notes a promise that was broken.
func (t *truth) wrongf(format string, args ...any) {
	t.last.Lock()
	defer t.last.Unlock()
	t.wrong++
	if t.wrong <= 50 {
		fmt.Fprintf(os.Stderr, "BROKEN (seed %d): %s\n", t.seed, fmt.Sprintf(format, args...))
	}
}

func (t *truth) broken() int {
	t.last.Lock()
	defer t.last.Unlock()
	return t.wrong
}

// begin forgets the round before.
func (t *truth) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.books, t.guests, t.byName = make(map[string]*book), make(map[string]*guest), make(map[string][]*book)
	t.last.Lock()
	defer t.last.Unlock()
	t.diaries = make(map[string]*diary)
}

// of is wrongf about a client, whose diary is opened.
func (t *truth) of(name, format string, args ...any) {
	t.wrongf("%s: %s", name, fmt.Sprintf(format, args...))
	d := t.diaryOf(name)
	d.notef("BROKEN: %s", fmt.Sprintf(format, args...))
	d.open(name)
}

func (t *truth) diaryOf(name string) *diary {
	t.last.Lock()
	defer t.last.Unlock()
	d := t.diaries[name]
	if d == nil {
		d = &diary{}
		t.diaries[name] = d
	}
	return d
}

func (t *truth) bookOf(session string) *book {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.books[session]
}

// audit compares what a client knows with what its sessions do, when all has ended.
func (t *truth) audit(g *guest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	say := func(format string, args ...any) {
		t.of(g.name, format, args...)
	}
	handled := make(map[int]bool)
	last, missing := 0, 0
	closedByServer := false // what had come by a POST, and was behind, is cut off then
	for _, b := range t.byName[g.name] {
		b.mu.Lock()
		if b.outran() {
			slices.Sort(b.ups)
		}
		for i, n := range b.ups {
			if n <= last {
				say("up %d was handled behind %d, in session %s", n, last, b.id)
			}
			for k := last + 1; k < n; k++ {
				switch {
				case g.withdrawn[k]:
				case i > 0:
					say("up %d was said in session %s, and not handled", k, b.id)
				default:
					missing++
				}
			}
			last = max(last, n)
			handled[n] = true
		}
		closedByServer = closedByServer || b.expelled
		b.mu.Unlock()
	}
	if g.closed == nil {
		for k := last + 1; k <= g.sent; k++ {
			if !g.withdrawn[k] {
				missing++
			}
		}
	}
	if uint64(missing) > g.unsure && !closedByServer {
		say("%d ups of %d are missing, and the client knows of %d (Close: %v)", missing, g.sent, g.unsure, g.closed)
	}
	for _, n := range g.sure {
		if !handled[n] {
			say("up %d was acknowledged, and never handled", n)
		}
	}
}
