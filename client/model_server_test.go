package client_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/events/protocol"
)

// model is a server that does what docs/protocol.md says and no more, one mutex for
// all of it. It answers the question "double", counts the events "up", and says the
// events "down" and asks "triple" when it is told to.
type model struct {
	t testing.TB
	*httptest.Server
	window int

	mu       sync.Mutex
	changed  *sync.Cond
	random   *rand.Rand               // guarded by mu
	cuts     float64                  // guarded by mu: how likely a message, or a POST, ends the connection
	sessions map[string]*modelSession // guarded by mu
	closed   bool                     // guarded by mu
}

// modelSession is guarded by the model's mu.
type modelSession struct {
	*model
	id       string
	received uint64 // the client's last
	told     uint64 // as it knows
	ups      []int
	replay   protocol.Replay[string]
	answers  map[uint64]int // of questions to the client
	asked    uint64
	carrier  *carrier
	ended    bool
}

// carrier is a connection, guarded by the model's mu.
type carrier struct {
	s        *modelSession
	poll     bool
	said     uint64
	greeting string
	control  []string
	number   uint64 // of the client's last on this WebSocket
	gone     bool
}

func newModel(t testing.TB, random *rand.Rand, cuts float64) *model {
	m := &model{t: t, window: 16, random: random, cuts: cuts, sessions: map[string]*modelSession{}}
	m.changed = sync.NewCond(&m.mu)
	m.Server = httptest.NewServer(m)
	t.Cleanup(func() {
		m.mu.Lock()
		m.closed = true
		m.changed.Broadcast()
		m.mu.Unlock()
		m.CloseClientConnections()
		m.Close()
	})
	return m
}

// cut reports whether the connection is to end here.
func (m *model) cut() bool { return m.random.Float64() < m.cuts }

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		h, err := protocol.HelloOf(strings.Split(r.Header.Get("Sec-WebSocket-Protocol"), ", "))
		if err != nil {
			m.t.Error(err)
			return
		}
		m.webSocket(w, r, h)
		return
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	h, err := protocol.ParseClientHello([]byte(strings.TrimPrefix(lines[0], "h ")))
	if err != nil {
		m.t.Error(err)
		return
	}
	switch h.Down {
	case protocol.DownSSE:
		m.stream(w, r, h)
	case protocol.DownPoll:
		m.poll(w, r, h)
	default:
		m.post(w, h, lines[1:])
	}
}

// attach has a connection carry the session that the hello names, or a new one.
func (m *model) attach(h *protocol.ClientHello, poll bool) *carrier {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[h.Session]
	why := ""
	resumed := s != nil && !s.ended && h.Received >= s.replay.Acked() && h.Received <= s.replay.Last()
	if !resumed {
		if s != nil && !s.ended {
			why = protocol.WhyNumbers
		}
		s = &modelSession{model: m, id: strconv.Itoa(len(m.sessions) + 1), answers: map[uint64]int{}}
		m.sessions[s.id] = s
		h.Received = 0
	}
	if s.carrier != nil {
		s.carrier.control = append(s.carrier.control, `b {"code":3001,"reason":"moved"}`)
		s.carrier.gone = true
	}
	_ = s.replay.Ack(h.Received, nil)
	s.told = s.received
	hello := helloWith(func(x *protocol.ServerHello) {
		x.Session, x.Resumed, x.Why = s.id, resumed, why
		x.From, x.Received, x.Acked, x.Window = h.Received, s.received, s.received, m.window
	})
	s.carrier = &carrier{s: s, poll: poll, said: h.Received, greeting: hello, number: s.received}
	m.changed.Broadcast()
	return s.carrier
}

// next waits for what is to be said on a connection; more: it goes on.
func (c *carrier) next(r *http.Request) (lines []string, more bool) {
	s := c.s
	for {
		if s.closed || r.Context().Err() != nil {
			return nil, false
		}
		if c.greeting != "" {
			lines, c.greeting = append(lines, c.greeting), ""
		}
		if !c.gone {
			for line := range s.replay.After(max(c.said, s.replay.Acked())) {
				lines = append(lines, line)
				c.said++
			}
		}
		lines = append(lines, c.control...)
		c.control = nil
		if len(lines) > 0 || c.gone {
			return lines, !c.gone
		}
		s.changed.Wait()
	}
}

// wakes has the waiting look again when the request is over.
func (m *model) wakes(r *http.Request) (stop func()) {
	over := make(chan struct{})
	go func() {
		select {
		case <-r.Context().Done():
			m.mu.Lock()
			m.changed.Broadcast()
			m.mu.Unlock()
		case <-over:
		}
	}()
	return func() { close(over) }
}

func (m *model) webSocket(w http.ResponseWriter, r *http.Request, h *protocol.ClientHello) {
	u := ws.HTTPUpgrader{Protocol: func(p string) bool { return p == protocol.JSON }}
	conn, rw, _, err := u.Upgrade(r, w)
	if err != nil {
		m.t.Error(err)
		return
	}
	defer conn.Close()
	c := m.attach(h, false)
	var done sync.WaitGroup
	defer done.Wait()
	done.Add(1)
	go func() {
		defer done.Done()
		defer conn.Close()
		m.mu.Lock()
		defer m.mu.Unlock()
		for more := true; more; {
			var lines []string
			lines, more = c.next(httptest.NewRequest("GET", "/", nil))
			for _, line := range lines {
				if m.cut() {
					c.gone = true
					return
				}
				m.mu.Unlock()
				err := ws.WriteFrame(conn, ws.NewTextFrame([]byte(line)))
				m.mu.Lock()
				if err != nil {
					c.gone = true
					return
				}
			}
		}
	}()
	defer func() {
		m.mu.Lock()
		c.gone = true
		m.changed.Broadcast()
		m.mu.Unlock()
	}()
	m.read(conn, rw.Reader, c)
}

func (m *model) read(conn io.ReadWriter, in *bufio.Reader, c *carrier) {
	for {
		f, err := readFrame(in)
		if err != nil {
			return
		}
		f = ws.UnmaskFrameInPlace(f)
		if f.Header.OpCode == ws.OpClose {
			_ = ws.WriteFrame(conn, ws.NewCloseFrame(f.Payload))
			return
		}
		m.mu.Lock()
		cut := m.cut()
		if !cut && !c.gone { // what comes behind a move is said again on the new one
			c.s.take(string(f.Payload), &c.number)
		}
		m.mu.Unlock()
		if cut {
			return
		}
	}
}

// take takes a message, whose number, if it has one, follows number.
func (s *modelSession) take(line string, number *uint64) {
	m, err := protocol.Parse([]byte(line))
	if err != nil {
		s.t.Errorf("%q: %v", line, err)
		return
	}
	defer s.changed.Broadcast()
	if !m.Kind.Numbered() {
		switch m.Kind {
		case protocol.Ack:
			if c := s.carrier; m.ID > c.said && m.ID > s.replay.Acked() {
				s.t.Errorf("%q, and %d of %d were said", line, c.said, s.replay.Last())
			}
			_ = s.replay.Ack(m.ID, nil)
		case protocol.Goodbye:
			s.ended = true
		}
		return
	}
	*number++
	if *number <= s.received {
		return
	}
	if *number != s.received+1 {
		s.t.Errorf("%q has number %d, and %d were received", line, *number, s.received)
	}
	s.received = *number
	if s.received-s.told > uint64(s.window) {
		s.t.Errorf("%d unacknowledged, and a window of %d", s.received-s.told, s.window)
	}
	switch m.Kind {
	case protocol.Event:
		n, _ := strconv.Atoi(string(m.Data))
		s.ups = append(s.ups, n)
	case protocol.Question:
		n, _ := strconv.Atoi(string(m.Data))
		s.say(fmt.Sprintf("r %d %d", m.ID, 2*n))
	case protocol.Answer:
		n, _ := strconv.Atoi(string(m.Data))
		if _, twice := s.answers[m.ID]; twice {
			s.t.Errorf("%q is answered twice", line)
		}
		s.answers[m.ID] = n
	default:
		s.t.Errorf("%q", line)
	}
	if s.random.IntN(s.window/2) == 0 || s.received-s.told >= uint64(s.window/2) {
		s.acknowledge()
		return
	}
	time.AfterFunc(5*time.Millisecond, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.acknowledge()
	})
}

func (s *modelSession) acknowledge() {
	if s.told < s.received {
		s.told = s.received
		s.carrier.control = append(s.carrier.control, fmt.Sprintf("a %d", s.told))
		s.changed.Broadcast()
	}
}

func (s *modelSession) say(line string) {
	s.replay.Push(line, len(line))
	s.changed.Broadcast()
}

func (m *model) stream(w http.ResponseWriter, r *http.Request, h *protocol.ClientHello) {
	c := m.attach(h, false)
	defer m.wakes(r)()
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	m.mu.Lock()
	defer m.mu.Unlock()
	for more := true; more; {
		var lines []string
		lines, more = c.next(r)
		for _, line := range lines {
			if m.cut() {
				panic(http.ErrAbortHandler)
			}
			fmt.Fprintf(w, "data: %s\n\n", line)
			flush.Flush()
		}
	}
}

func (m *model) poll(w http.ResponseWriter, r *http.Request, h *protocol.ClientHello) {
	m.mu.Lock()
	s := m.sessions[h.Session]
	goesOn := s != nil && !s.ended && s.carrier != nil && s.carrier.poll && !h.First
	m.mu.Unlock()
	var c *carrier
	if goesOn {
		m.mu.Lock()
		if h.Received < s.replay.Acked() {
			m.mu.Unlock()
			return // it was given up long ago, and took its time
		}
		s.carrier.gone = true
		if h.Received > s.replay.Last() {
			m.t.Errorf("a poll that has received %d of %d to %d", h.Received, s.replay.Acked(), s.replay.Last())
		}
		_ = s.replay.Ack(h.Received, nil)
		c = &carrier{s: s, poll: true, said: h.Received, control: s.carrier.control}
		s.carrier.control = nil
		s.carrier = c
		s.told = min(s.told, *h.Acked) // the last answer may have been lost
		s.acknowledge()
		m.changed.Broadcast()
		m.mu.Unlock()
	} else {
		c = m.attach(h, true)
	}
	defer m.wakes(r)()
	m.mu.Lock()
	defer m.mu.Unlock()
	lines, _ := c.next(r)
	if m.cut() {
		panic(http.ErrAbortHandler)
	}
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
}

func (m *model) post(w http.ResponseWriter, h *protocol.ClientHello, lines []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[h.Session]
	if m.cut() {
		panic(http.ErrAbortHandler) // before anything was taken
	}
	if s == nil || s.ended {
		w.WriteHeader(http.StatusGone)
		b, _ := json.Marshal(protocol.Refusal{Code: "session"})
		w.Write(b)
		return
	}
	number := h.From
	for _, line := range lines {
		s.take(line, &number)
	}
	if m.cut() {
		panic(http.ErrAbortHandler) // and the answer is lost
	}
	fmt.Fprintf(w, "k %d\n", s.received)
}
