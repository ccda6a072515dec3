package client

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
)

// gauge tells what is posted how far the session is, and the token. The session's
// goroutines set it.
type gauge struct {
	received atomic.Uint64 // the last message that has been received
	dealt    atomic.Uint64 // the last that may be acknowledged
	acked    atomic.Uint64 // our last that the server has acknowledged
	moving   atomic.Bool   // another connection is being made
	room     chan struct{} // room for one: dealt or moving has changed
	token    atomic.Pointer[string]
}

// move says whether another connection is being made.
func (g *gauge) move(on bool) {
	g.moving.Store(on)
	g.changed()
}

func (g *gauge) changed() {
	select {
	case g.room <- struct{}{}:
	default:
	}
}

// polls is a link of polls, and POSTs beside them.
type polls struct {
	posts
	gauge *gauge
	rest  []inbound // of the first answer, behind the hello
}

// crowded is how long a poll is put off while handlers are behind, or another
// connection is being made, from which it would take the session back: less than the
// time after which a client that does not poll counts as gone.
const crowded = 2 * time.Second

// hasty is the least time between polls that bring nothing.
const hasty = 50 * time.Millisecond

func (o *opener) openPolls(ctx context.Context, cancel context.CancelCauseFunc) (link, inbound, error) {
	p := &polls{posts: o.posts(ctx, cancel, protocol.DownPoll), gauge: &o.c.gauge}
	first := p.hello
	first.First = true
	b, err := o.c.exchangeOnce(ctx, p.body(first), mostPoll)
	if err != nil {
		return nil, inbound{}, err
	}
	messages, err := linesOf(b)
	if err == nil && len(messages) == 0 {
		err = errNoHello
	}
	if err != nil {
		return nil, inbound{}, err
	}
	p.rest = messages[1:]
	return p, messages[0], nil
}

// mostPoll bounds an answer.
const mostPoll = 2 * mostMessage

func (p *polls) read() (incoming, error) {
	if rest := p.rest; rest != nil {
		p.rest = nil
		if len(rest) > 0 {
			return incoming{messages: rest}, nil
		}
	}
	late := time.NewTimer(crowded)
	defer late.Stop()
	for p.gauge.moving.Load() || p.gauge.dealt.Load() < p.gauge.received.Load() {
		select {
		case <-p.gauge.room:
			continue
		case <-p.ctx.Done():
			return incoming{}, context.Cause(p.ctx)
		case <-late.C:
		}
		break
	}
	h := p.named()
	h.Received, h.Acked = p.gauge.dealt.Load(), new(p.gauge.acked.Load())
	began := time.Now()
	b, err := p.c.exchange(p.ctx, p.body(h), mostPoll)
	if err != nil {
		return incoming{}, err
	}
	messages, err := linesOf(b)
	if len(messages) == 0 && time.Since(began) < hasty {
		select { // who answers at once, and with nothing, is not asked in a loop
		case <-time.After(hasty):
		case <-p.ctx.Done():
		}
	}
	return incoming{messages: messages, from: h.Received, renewed: true}, err
}
