package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
)

// posts is the way up of a link whose way down is something else: one POST at a time,
// so that numbers come in order.
type posts struct {
	c      *Client
	ctx    context.Context // the link's
	cancel context.CancelCauseFunc
	hello  protocol.ClientHello // with the session, once the server's has come
	most   int                  // messages with a number in a POST: the server's window
	bytes  int                  // of all of them, likewise
}

func (o *opener) posts(ctx context.Context, cancel context.CancelCauseFunc, down string) posts {
	h := o.hello
	h.Down, h.Codec = down, o.c.opts.subprotocol()
	return posts{c: o.c, ctx: ctx, cancel: cancel, hello: h, bytes: mostBody}
}

// body is a hello as a POST begins with it.
func (p *posts) body(h protocol.ClientHello) []byte {
	return append(protocol.Append(nil, protocol.Message{Kind: protocol.Hello, Data: mustJSON(h)}), '\n')
}

// write says messages in as few POSTs as the server takes. There may be more than fit into
// its window: those that an earlier POST has brought, though nobody knew when they were
// put before the others.
func (p *posts) write(messages []*outgoing) (said incoming, err error) {
	for len(messages) > 0 && err == nil {
		h := p.named()
		h.Down, h.Received = protocol.DownNone, 0
		var lines []byte
		n, numbered := 0, 0
		for n < len(messages) && (n == 0 || len(lines)+len(messages[n].text) <= p.bytes) {
			m := messages[n]
			if m.number > 0 {
				if numbered == 0 {
					h.From = m.number - 1
				}
				if numbered++; p.most > 0 && numbered > p.most {
					break
				}
			}
			lines = appendLine(lines, m)
			n++
		}
		messages = messages[n:]
		var b []byte
		if b, err = p.say(append(p.body(h), lines...)); err != nil {
			break
		}
		var answers []inbound
		answers, err = linesOf(b)
		said.messages = append(said.messages, answers...)
	}
	return said, err
}

// say makes a POST, again as long as the server has no room for it.
func (p *posts) say(body []byte) ([]byte, error) {
	for {
		b, err := p.c.exchange(p.ctx, body, mostHello)
		var r *Refused
		if !errors.As(err, &r) || r.Status != http.StatusServiceUnavailable || r.Retry == 0 {
			return b, err
		}
		select {
		case <-time.After(r.Retry + rand.N(r.Retry)):
		case <-p.ctx.Done():
			return nil, context.Cause(p.ctx)
		}
	}
}

// named is a hello that names the session, with the last token.
func (p *posts) named() protocol.ClientHello {
	h := p.hello
	if t := p.c.gauge.token.Load(); t != nil {
		h.Token = *t
	}
	return h
}

func (p *posts) begin(h protocol.ServerHello) {
	p.hello.Session, p.hello.Secret, p.most = h.Session, h.Secret, h.Window
	if h.WindowBytes > 0 {
		p.bytes = min(h.WindowBytes, mostBody)
	}
	p.hello.Ticket, p.hello.Data = "", nil // they were for the first
}

func (p *posts) close(uint16) { p.cancel(nil) }
