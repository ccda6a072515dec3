package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/troupe-actors/troupe/client"
)

// holed notes what is missing in a sequence; every miss must have been told of before.
func (g *guest) holed(what string, was, n int) {
	if n > was+1 {
		if g.holes += n - was - 1; g.holes > g.gaps {
			g.of(g.name, "%s %d came behind %d in session %s: %d are missing up to here, and gaps tell of %d", what, n, was, g.session, g.holes, g.gaps)
			g.gaps = g.holes
		}
	}
	if n <= was {
		g.of(g.name, "%s %d came behind %d in session %s", what, n, was, g.session)
	}
}

func (g *guest) hear(_ context.Context, m down) {
	g.rest()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.belongs("down", m)
	g.holed("down", g.down, m.N)
	g.down = m.N
}

// belongs notes a new session.
func (g *guest) belongs(what string, m down) {
	if m.To != g.name {
		g.of(g.name, "%s %d is for %s", what, m.N, m.To)
	}
	if m.S == g.session {
		return
	}
	if g.before[m.S] {
		g.of(g.name, "%s %d of session %s, which was over", what, m.N, m.S)
	}
	g.before[m.S] = true
	g.session, g.down, g.tiding, g.state = m.S, 0, 0, 0
}

func (g *guest) hearTiding(_ context.Context, m tiding) {
	g.rest()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.news.Add(1)
	if g.tiding > 0 {
		g.holed("tiding", g.tiding, m.N)
	}
	g.tiding = m.N
}

func (g *guest) hearState(_ context.Context, m down) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.belongs("state", m)
	if m.N <= g.state {
		g.of(g.name, "state %d came behind %d", m.N, g.state)
	}
	g.state = m.N
}

func (g *guest) rest() {
	if g.slow > 0 {
		time.Sleep(rand.N(g.slow))
	}
}

func (g *guest) triple(ctx context.Context, n int) (int, error) {
	g.rest()
	g.mu.Lock()
	if g.triples[n] && n > 0 {
		g.of(g.name, "question %d came twice", n)
	}
	g.triples[n] = true
	g.mu.Unlock()
	switch rand.IntN(100) {
	case 0:
		panic("as it happens")
	case 1:
		return 0, &client.Error{Code: "sorry"}
	case 2:
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return 3 * n, nil
}
