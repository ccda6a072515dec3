package actors

import (
	"bytes"
	"sync"

	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// turnMessages is how many messages of the peer a channel handles before it
// looks at what else there is, and others get their turn.
const turnMessages = 32

// pump reads what the peer has sent and hands it to the handler.
func (c *Channel) pump() {
	if c.phase >= flushing {
		c.pumpGoodbye()
		return
	}
	if c.phase != open {
		return
	}
	c.read()
	c.noteHeld()
}

func (c *Channel) read() {
	for n := 0; c.phase == open && c.IsOpen(); n++ {
		c.box.Spend(1) // before the handler runs, which may not come back here
		if c.crowded() && !c.hasWord() {
			c.unread = true // flush raises the signal again
			c.link.Rest()
			return
		}
		if n == turnMessages {
			c.box.Later(sigReadable)
			return
		}
		if c.throttled() {
			c.link.Rest()
			return
		}
		in, ok := c.link.Next()
		if in.Empty > 0 && !c.charge(int(in.Empty), 0) {
			return
		}
		if !ok {
			if c.link.Progress() {
				c.box.Spend(turnMessages) // it may have been as much work
				c.lastIn, c.pinged = c.ep.rt.now(), false
				c.lastData = c.lastIn
			}
			return
		}
		if n == 0 {
			c.lastIn, c.pinged = c.ep.rt.now(), false
		}
		c.incoming(in)
	}
	c.link.Rest() // it closes: what is left may wait for long
}

// messages are those that handlers were called with which get them by value.
var messages = sync.Pool{New: func() any { return new(Message) }}

// crowded reports whether half of what may wait for the peer does: then what
// it sends is left unread until it has taken some of that. A peer that does not
// read is not served. The write timeout bounds it. What waits for a source that
// has nothing to send yet is not the peer's fault, and its end must be noticed.
func (c *Channel) crowded() bool {
	if c.active() != nil && !c.congested {
		return false
	}
	messages, bytes := c.box.Waiting()
	return messages > c.ep.opts.MailboxMessages/2 || bytes > c.ep.opts.MailboxBytes/2
}

// hasWord reports whether a link of one's own has something for the handler that the
// peer has not sent.
func (c *Channel) hasWord() bool {
	l, ok := c.link.(interface{ Word() bool })
	return ok && l.Word()
}

func (c *Channel) incoming(in transport.Incoming) {
	switch in.Kind {
	case transport.KindMessage, transport.KindPing, transport.KindPong:
		if !in.Word && !c.charge(1, len(in.Data)) {
			return
		}
	}
	if in.Kind == transport.KindClose || isFault(in.Err) {
		c.flushAnswers()
	}
	switch in.Kind {
	case transport.KindMessage:
		c.lastData = c.lastIn
		c.received++
		c.ep.rt.stats.received.Add(1)
		m := messages.Get().(*Message)
		*m = Message{Channel: c, Op: in.Op, lent: in.Lent, Data: in.Data}
		c.where = inMessage
		c.box.Invoke(m)
		c.where = inNothing
		if c.ep.byValue {
			*m = Message{}
			messages.Put(m)
		}
	case transport.KindPing:
		c.lastData = c.lastIn
		c.answerPing(in.Data)
		c.where = inPing
		c.box.Invoke(&Ping{Channel: c, Data: in.Data})
		c.where = inNothing
	case transport.KindPong:
		c.where = inPong
		c.box.Invoke(&Pong{Channel: c, Data: in.Data})
		c.where = inNothing
	case transport.KindClose:
		c.ended = true
		c.finishWith(ending{cause: supervisor.CausePeerClosed, code: in.Code, reason: in.Reason})
	case transport.KindEnd:
		c.inputEnded(in.Err)
	}
}

// flushAnswers sends what was answered before the peer's end: that is owed, whatever
// came behind it, and however far behind the kernel is, if it is not by much.
func (c *Channel) flushAnswers() {
	if c.congested && c.link.Pending() < flushBytes {
		c.load()
	}
	c.flush()
}

// mostPongs is how many pings are answered that came while the kernel took nothing.
const mostPongs = 16

// pongsBehind is how many bytes may be before a pong that does not wait for the
// kernel to take them.
const pongsBehind = 2 << 10

// answerPing has the pong leave before the handler is called, which may take its
// time. Of pings that come faster than pongs leave only the latest needs one (RFC
// 6455 §5.5.3), so that a flood of them does not fill our queue; but a client may
// count on one for each of a few.
func (c *Channel) answerPing(data []byte) {
	pong, _ := transport.NewPong(bytes.Clone(data))
	p := c.passingly()
	if len(p.pongs) == mostPongs {
		p.pongs = append(p.pongs[:0], p.pongs[1:]...)
	}
	p.pongs = append(p.pongs, pong)
	if c.congested && c.link.Pending() < pongsBehind {
		c.loadPongs() // what is before them may be through when the handler is not
	}
	c.flush()
}

// pumpGoodbye reads while the channel closes: nothing but the peer's end
// matters.
func (c *Channel) pumpGoodbye() {
	if c.phase == waiting {
		c.pumpClosing()
		return
	}
	for n := 0; c.phase == flushing && !c.ended; n++ {
		if n == turnMessages {
			c.box.Spend(n)
			c.box.Later(sigReadable)
			return
		}
		in, ok := c.link.Next()
		if !ok {
			return
		}
		if in.Kind == transport.KindClose || in.Kind == transport.KindEnd && !isFault(in.Err) {
			c.ended = true
			if c.active() != nil { // nobody waits for the rest of it
				c.dropActive()
				c.flush()
			}
		}
	}
}

func (c *Channel) writable() {
	if c.congested {
		c.flush()
	}
}
