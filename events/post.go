package events

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
)

// servePost does what a POST wants: a stream of events, a poll, or only to say
// something.
func (srv *Server) servePost(w http.ResponseWriter, r *http.Request) {
	body := srv.bodyOf(w, r)
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		srv.refuse(w, r, errEncoding)
		return
	}
	h, err := body.hello()
	if err == nil && srv.codecOf(h.Codec) < 0 {
		err = protocol.ErrVersion
	}
	if err != nil {
		srv.refuse(w, r, err)
		return
	}
	switch h.Down {
	case protocol.DownSSE:
		srv.connect(w, r, h, SSE, body)
	case protocol.DownPoll:
		srv.connect(w, r, h, Poll, body)
	case protocol.DownNone:
		srv.serveSay(w, r, h, body)
	case protocol.DownCheck:
		srv.admit(w, r, h)
	default:
		srv.refuse(w, r, fmt.Errorf("%w: down: want sse, poll, none or check", protocol.ErrHello))
	}
}

// serveSay answers a POST that only says something.
func (srv *Server) serveSay(w http.ResponseWriter, r *http.Request, h *protocol.ClientHello, body *body) {
	r, g := srv.admit(w, r, h)
	if g == nil {
		return
	}
	l, err := srv.read(body)
	defer l.free()
	s, _ := srv.resume(g)
	switch {
	case err != nil:
	case g.homes != nil:
		if done, _ := srv.run(w, r, g, l); done {
			return
		}
		err = errSession
	case s == nil:
		err = errSession
	default:
		err = s.post(r.Context(), h.From, l)
	}
	if err != nil {
		srv.refuse(w, r, err)
		return
	}
	answerKept(w, s.kept())
}

// kept is the number of the client's last message that was taken, be it handled or not.
func (s *Session) kept() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// post takes what a client has said in a POST: all of it, or nothing. It waits for
// room.
func (s *Session) post(ctx context.Context, from uint64, l *letter) error {
	wait := time.NewTimer(s.srv.opts.WriteTimeout)
	defer wait.Stop()
	var room chan struct{}
	for {
		var err error
		room, err = s.take(from, l, room)
		if room == nil {
			if err == nil {
				s.wake()
			}
			return err
		}
		select {
		case <-room:
			continue
		case <-wait.C:
		case <-ctx.Done():
		}
		s.giveUp(room)
		return errBusy
	}
}

// giveUp lets another POST wait.
func (s *Session) giveUp(room chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aside != nil && s.aside.room == room {
		s.aside.room = nil
		s.tidyLocked()
	}
}

// take keeps what was posted for the actor. If there is no room, the channel it
// returns is closed when there may be some.
func (s *Session) take(from uint64, l *letter, waits chan struct{}) (room chan struct{}, err error) {
	said := l.said
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over, s.leaving, len(said) > 0 && s.closing():
		return nil, errSession
	case l.ack > s.uttered.Load():
		return nil, errNumbers
	case len(said) > 0 && from > s.accepted:
		return nil, errNumbers
	}
	if known := s.accepted - min(from, s.accepted); known >= uint64(len(said)) {
		said = nil // all of it is known
	} else {
		said = said[known:]
	}
	bytes := 0
	for _, p := range said {
		bytes += len(p.data)
	}
	a := s.asideLocked()
	o := &s.srv.opts
	full := len(a.posted) > 0 && (len(a.posted)+len(said) > o.Window || a.bytes+bytes > max(o.WindowBytes, o.Channel.MaxMessageBytes))
	if full || !s.srv.rt.Reserve(bytes) {
		if len(a.posted) == 0 {
			return nil, errBusy // the memory is others'
		}
		if a.room != nil && a.room != waits {
			return nil, errBusy // another POST waits
		}
		if a.room == nil {
			a.room = make(chan struct{})
		}
		return a.room, nil
	}
	for _, p := range said {
		if l.charged > 2*bytes { // the body is to go when it has been answered
			p.data = slices.Clone(p.data)
		}
		a.posted = append(a.posted, p)
		s.mail.Store(true) // what comes behind it, by another connection, finds it
	}
	a.bytes += bytes
	s.accepted += uint64(len(said))
	a.ack = max(a.ack, l.ack)
	a.pinged = a.pinged || l.pinged
	a.ponged = a.ponged || l.ponged
	a.gone = a.gone || l.gone
	a.alive = true
	if l.token != nil {
		a.token = l.token
	}
	return nil, nil
}

func tokenOf(data []byte) (token string, err error) {
	err = json.Unmarshal(data, &token)
	return token, err
}

func byeOf(data []byte) (b protocol.Bye, err error) {
	err = json.Unmarshal(data, &b)
	return b, err
}
