package events_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

// modelClient is a client as docs/protocol.md describes it, that writes down all it
// sees, and fails the test at what must not be.
type modelClient struct {
	sim  *actorstest.Sim
	name string
	fail func(format string, args ...any)
	logf func(format string, args ...any)

	// acked checks what the server says to have handled, up to a number.
	acked func(e *epoch, n uint64)

	mu      sync.Mutex // guards what follows, and that of its lines
	epoch   *epoch     // the session, or nil
	past    []*epoch
	current *line // the latest connection that was begun
	lines   []*line
	silent  bool // acknowledges nothing
	answers bool // answers questions
	tasks   sync.WaitGroup
}

// epoch is what a client knows of one session.
type epoch struct {
	id, secret string
	window     uint64
	bytes      int      // of the window
	received   []string // what the server has said, by number
	acked      uint64   // what the client has acknowledged of it
	said       []string // what the client said, by number
	known      uint64   // what the server has acknowledged of that
	kept       uint64   // what it has of that
	asked      uint64
	replies    map[uint64]int
	over       bool // the server said so
}

// allows reports whether the window has room for the message behind number n, with all
// before it (docs/protocol.md §2).
func (e *epoch) allows(n uint64) bool {
	bytes := 0
	for _, text := range e.said[min(e.known, n) : n+1] {
		bytes += len(text)
	}
	return n <= e.known || n < e.known+e.window && bytes <= e.bytes
}

// line is one connection of it.
type line struct {
	gone     bool // the server has said goodbye; guarded by the client's mu
	client   *modelClient
	n        int
	how      events.Transport
	conn     net.Conn
	out      chan []byte // messages to be written; WebSockets only
	epoch    *epoch      // nil before the hello
	received uint64      // number of the last message on it
	said     uint64
	dead     bool
	first    bool   // of polls: it begins a connection
	before   *epoch // the session it names
	from     uint64
}

func (c *modelClient) hello(down string, from uint64) *protocol.ClientHello {
	h := &protocol.ClientHello{V: 1, Client: c.name, Down: down, From: from}
	if e := c.epoch; e != nil {
		h.Session, h.Secret, h.Received = e.id, e.secret, uint64(len(e.received))
	}
	return h
}

// connect begins a connection, and lets what comes on it be heard.
func (c *modelClient) connect(how events.Transport, options ...actorstest.Option) {
	c.begin(how, nil, options...)
}

// begin opens a connection; behind is the poll that was answered, nil: none.
func (c *modelClient) begin(how events.Transport, behind *line, options ...actorstest.Option) {
	conn := c.sim.Dial(options...)
	c.mu.Lock()
	defer c.mu.Unlock()
	first := behind == nil
	if !first && c.current != behind { // cut, or moved on, meanwhile
		_ = conn.Close()
		return
	}
	l := &line{client: c, n: len(c.lines), how: how, conn: conn, out: make(chan []byte, 4096), first: first, before: c.epoch}
	c.current, c.lines = l, append(c.lines, l)
	h := c.hello(map[events.Transport]string{events.SSE: "sse", events.Poll: "poll"}[how], 0)
	if c.epoch != nil {
		h.From = c.epoch.kept
	}
	h.First = how == events.Poll && first
	if how == events.Poll && !first {
		h.Acked = new(c.epoch.known)
	}
	l.from = h.Received
	c.logf("%s line %d: %v of session %.6s, received %d", c.name, l.n, how, h.Session, h.Received)
	if how == events.WebSocket {
		sub, err := h.Subprotocol()
		if err != nil {
			c.fail("%v", err)
			return
		}
		c.tasks.Go(func() { l.webSocket(sub) })
		return
	}
	body, err := json.Marshal(h)
	if err != nil {
		c.fail("%v", err)
		return
	}
	c.tasks.Go(func() { l.stream("h " + string(body) + "\n") })
}

// end notes that a connection is no more.
func (l *line) end(why error) {
	_ = l.conn.Close()
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	if !l.dead {
		l.dead = true
		close(l.out)
		l.client.logf("%s line %d: ends: %v", l.client.name, l.n, why)
	}
}

func (l *line) webSocket(sub string) {
	d := ws.Dialer{Protocols: []string{protocol.JSON, sub}, NetDial: nil}
	br, _, err := d.Upgrade(l.conn, mustURL("http://troupe.test/"))
	if err != nil {
		l.end(err)
		return
	}
	l.client.tasks.Go(func() {
		for b := range l.out {
			if wsutil.WriteClientText(l.conn, b) != nil {
				l.end(io.ErrClosedPipe)
			}
		}
	})
	var in io.Reader = l.conn
	if br != nil {
		in = br
	}
	rw := struct {
		io.Reader
		io.Writer
	}{in, io.Discard}
	for {
		b, err := wsutil.ReadServerText(rw)
		if err != nil {
			l.end(err)
			return
		}
		l.hear(string(b))
	}
}

func (l *line) stream(body string) {
	resp, err := l.request(body)
	if err != nil {
		l.end(err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		l.end(fmt.Errorf("refused: %s %s", resp.Status, b))
		return
	}
	in := bufio.NewReader(resp.Body)
	for data := ""; ; {
		text, err := in.ReadString('\n')
		if err != nil {
			if err == io.EOF && l.how == events.Poll {
				l.pollAgain()
			}
			l.end(err)
			return
		}
		text = strings.TrimSuffix(text, "\n")
		switch {
		case l.how == events.Poll:
			l.hear(text)
		case text != "":
			if more, ok := strings.CutPrefix(text, "data:"); ok {
				data = strings.TrimPrefix(more, " ")
			}
		case data != "":
			l.hear(data)
			data = ""
		}
	}
}

func (l *line) request(body string) (*http.Response, error) {
	r, err := http.NewRequest(http.MethodPost, "http://troupe.test/", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	// Written beside the reading: what refuses a request may answer before it is whole.
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		return nil, err
	}
	l.client.tasks.Go(func() { _, _ = l.conn.Write(wire.Bytes()) })
	return http.ReadResponse(bufio.NewReader(l.conn), r)
}

// pollAgain is what a client does when a poll was answered, unless it has moved on.
func (l *line) pollAgain() {
	l.client.mu.Lock()
	if l.epoch == nil && !l.first {
		l.epoch = l.before // it was empty
	}
	again := !l.gone && l.client.current == l && l.epoch != nil && l.client.epoch == l.epoch && !l.epoch.over
	l.client.mu.Unlock()
	if again {
		l.client.begin(events.Poll, l)
	}
}

// hear takes a message of the server.
func (l *line) hear(text string) {
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := protocol.Parse([]byte(text))
	if err != nil {
		c.fail("%s line %d: %q: %v", c.name, l.n, text, err)
		return
	}
	if l.epoch == nil && m.Kind != protocol.Hello {
		switch {
		case m.Kind == protocol.Goodbye:
			l.gone = true
			return // it came to nothing
		case l.how == events.Poll && !l.first && l.before != nil:
			l.epoch, l.received = l.before, l.from
		default:
			c.fail("%s line %d: %q before the hello", c.name, l.n, text)
			return
		}
	}
	switch {
	case m.Kind == protocol.Hello:
		l.greeted(m)
	case m.Kind.Numbered():
		l.numbered(m, text)
	case m.Kind == protocol.Ack:
		if m.ID > uint64(len(l.epoch.said)) {
			c.fail("%s line %d: acknowledges %d of %d", c.name, l.n, m.ID, len(l.epoch.said))
		}
		if l.how == events.WebSocket && m.ID < l.epoch.known && c.current == l {
			c.logf("%s line %d: an older acknowledgement %d < %d", c.name, l.n, m.ID, l.epoch.known)
		}
		l.epoch.kept = max(l.epoch.kept, m.ID)
		l.epoch.known = max(l.epoch.known, m.ID)
		c.acked(l.epoch, m.ID)
		l.sayMore()
	case m.Kind == protocol.Ping:
		l.say("o")
	case m.Kind == protocol.Goodbye:
		c.logf("%s line %d: <- %s", c.name, l.n, text)
		var b protocol.Bye
		if err := json.Unmarshal(m.Data, &b); err != nil {
			c.fail("%v", err)
		}
		if b.Code == protocol.CodeMalformed || b.Code == protocol.CodeWindow {
			c.fail("%s line %d: is said to have broken the protocol: %s", c.name, l.n, text)
		}
		l.epoch.over, l.gone = l.epoch.over || b.End, true
	}
}

func (l *line) greeted(m protocol.Message) {
	c := l.client
	var h protocol.ServerHello
	if err := json.Unmarshal(m.Data, &h); err != nil {
		c.fail("%v", err)
		return
	}
	c.logf("%s line %d: <- hello %.6s, resumed %v %s, from %d, received %d", c.name, l.n, h.Session, h.Resumed, h.Why, h.From, h.Received)
	if l.epoch != nil {
		c.fail("%s line %d: a second hello", c.name, l.n)
	}
	if e := c.epoch; h.Resumed && (e == nil || e.id != h.Session) {
		// It named an older one, and has another by now.
		for _, e = range c.past {
			if e.id == h.Session {
				l.epoch = e
			}
		}
		if l.epoch == nil {
			c.fail("%s line %d: goes on with a session that is not its own", c.name, l.n)
		}
	} else if h.Resumed {
		l.epoch = e
	} else {
		if h.From != 0 || h.Received != 0 {
			c.fail("%s line %d: a new session begins with from %d, received %d", c.name, l.n, h.From, h.Received)
		}
		if e != nil {
			if h.Why == protocol.WhyNumbers || h.Why == protocol.WhyUser || h.Why == protocol.WhyCodec {
				c.logf("%s line %d: not resumed: %s", c.name, l.n, h.Why)
			}
			c.past = append(c.past, e)
		}
		l.epoch = &epoch{id: h.Session, secret: h.Secret, replies: map[uint64]int{}}
		c.epoch = l.epoch
	}
	l.epoch.window, l.epoch.bytes = uint64(h.Window), h.WindowBytes
	if h.Received > uint64(len(l.epoch.said)) {
		c.fail("%s line %d: %d were received of %d", c.name, l.n, h.Received, len(l.epoch.said))
	}
	if h.From > uint64(len(l.epoch.received)) {
		c.fail("%s line %d: begins behind %d, of which only %d have come", c.name, l.n, h.From, len(l.epoch.received))
	}
	if h.Acked > h.Received {
		c.fail("%s line %d: %d are acknowledged of %d that were received", c.name, l.n, h.Acked, h.Received)
	}
	l.epoch.kept = max(l.epoch.kept, h.Received)
	l.epoch.known = max(l.epoch.known, h.Acked)
	c.acked(l.epoch, h.Acked)
	l.received, l.said = h.From, h.Received
	l.sayMore()
}

// numbered takes the next message on this connection.
func (l *line) numbered(m protocol.Message, text string) {
	c, e := l.client, l.epoch
	l.received++
	switch n := uint64(len(e.received)); {
	case l.received <= n:
		if e.received[l.received-1] != text {
			c.fail("%s line %d: number %d is %q, and was %q", c.name, l.n, l.received, text, e.received[l.received-1])
		}
		return
	case l.received > n+1:
		c.fail("%s line %d: number %d comes behind %d", c.name, l.n, l.received, n)
		return
	}
	e.received = append(e.received, text)
	switch m.Kind {
	case protocol.Answer, protocol.Failure:
		if e.replies[m.ID]++; e.replies[m.ID] > 1 || m.ID == 0 || m.ID > e.asked {
			c.fail("%s line %d: %q, a question of %d that was answered %d times", c.name, l.n, text, e.asked, e.replies[m.ID])
		}
	case protocol.Question:
		if c.answers {
			l.client.sayLocked(fmt.Sprintf("r %d %s", m.ID, m.Data))
		}
	}
	if !c.silent && (uint64(len(e.received))-e.acked >= max(1, e.window/2)) {
		c.acknowledge()
	}
}

// acknowledge says what has come; by POST in a test's own time.
func (c *modelClient) acknowledge() {
	e, l := c.epoch, c.current
	if e == nil || l == nil || l.epoch != e || l.how != events.WebSocket {
		return
	}
	e.acked = uint64(len(e.received))
	l.say(fmt.Sprintf("a %d", e.acked))
}

func (l *line) say(text string) {
	if l.how == events.WebSocket && !l.dead {
		select {
		case l.out <- []byte(text):
		default:
			l.client.fail("%s line %d: is not read", l.client.name, l.n)
		}
	}
}

// sayMore says what the window allows.
func (l *line) sayMore() {
	e := l.epoch
	if l.how != events.WebSocket || l.client.current != l {
		return
	}
	for l.said < uint64(len(e.said)) && e.allows(l.said) {
		l.say(e.said[l.said])
		l.said++
	}
}

// sayLocked says something that has a number.
func (c *modelClient) sayLocked(text string) {
	if c.epoch == nil || c.epoch.over {
		return
	}
	c.epoch.said = append(c.epoch.said, text)
	if l := c.current; l != nil && l.epoch == c.epoch {
		l.sayMore()
	}
}

// event and ask say the next of what the server counts.
func (c *modelClient) event(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.epoch; e != nil {
		c.sayLocked(fmt.Sprintf("e %s %d", name, len(e.said)+1))
	}
}

func (c *modelClient) ask(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.epoch; e != nil && !e.over {
		e.asked++
		c.sayLocked(fmt.Sprintf("q %d %s %d", e.asked, name, len(e.said)+1))
	}
}

// post says by a POST what the server is not known to have, from up to back messages
// earlier on, and acknowledges.
func (c *modelClient) post(back int, ack bool, more []string, options ...actorstest.Option) {
	c.mu.Lock()
	e := c.epoch
	if e == nil {
		c.mu.Unlock()
		return
	}
	from := e.kept - min(e.kept, uint64(back))
	h := c.hello("none", from)
	text := ""
	if ack {
		e.acked = uint64(len(e.received))
		text = fmt.Sprintf("a %d\n", e.acked)
	}
	last := from
	for ; last < uint64(len(e.said)) && e.allows(last) && last < from+16; last++ {
		text += e.said[last] + "\n"
	}
	text += strings.Join(more, "\n")
	c.mu.Unlock()
	body, err := json.Marshal(h)
	if err != nil {
		c.fail("%v", err)
		return
	}
	conn := c.sim.Dial(options...)
	l := &line{client: c, conn: conn, out: make(chan []byte)}
	c.tasks.Go(func() {
		defer conn.Close()
		resp, err := l.request("h " + string(body) + "\n" + text)
		if err != nil {
			return
		}
		b, err := io.ReadAll(resp.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case err != nil:
		case resp.StatusCode == http.StatusOK:
			m, err := protocol.Parse(bytes.TrimSpace(b))
			if err != nil || m.Kind != protocol.Kept || m.ID < last || m.ID > uint64(len(e.said)) {
				c.fail("%s: a POST up to %d was answered %q (%d were said)", c.name, last, b, len(e.said))
				return
			}
			e.kept = max(e.kept, m.ID)
		case resp.StatusCode == http.StatusBadRequest:
			c.fail("%s: a POST was answered %s %s", c.name, resp.Status, b)
		}
	})
}

// cut tears the connection.
func (c *modelClient) cut() {
	c.mu.Lock()
	l := c.current
	c.mu.Unlock()
	if l != nil {
		_ = l.conn.Close()
	}
}

// cutAll tears all connections there are.
func (c *modelClient) cutAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = nil
	for _, l := range c.lines {
		_ = l.conn.Close()
	}
}

// carried reports whether the latest connection is there and greeted.
func (c *modelClient) carried() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current != nil && !c.current.dead && c.current.epoch != nil && c.current.epoch == c.epoch && !c.epoch.over
}
