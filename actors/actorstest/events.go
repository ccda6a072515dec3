package actorstest

import (
	"fmt"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// seenEvent is an event of the runtime.
type seenEvent struct {
	supervisor.Event
	at    time.Duration // since the beginning
	asked bool          // the test has had it, or has caused it
}

// Events is what the runtime has reported of one type, in order: the test knows
// of it now.
//
//	for _, e := range actorstest.Events[supervisor.Refused](s) { ... }
func Events[E supervisor.Event](s *Sim) []E {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []E
	for _, e := range s.events {
		if v, ok := e.Event.(E); ok {
			e.asked = true
			list = append(list, v)
		}
	}
	return list
}

// ExpectEvent waits for an event that the test does not know of yet, the first of
// its type.
func ExpectEvent[E supervisor.Event](s *Sim) E {
	s.Helper()
	var found E
	ok := s.await(func() bool {
		for _, e := range s.events {
			if v, ok := e.Event.(E); ok && !e.asked {
				e.asked, found = true, v
				return true
			}
		}
		return false
	})
	if !ok {
		s.Fatalf("actorstest: want an event %T, got\n%s", found, s.eventLog())
	}
	return found
}

// hear keeps an event.
func (s *Sim) hear(e supervisor.Event) {
	var opened *actors.Channel
	if e, ok := e.(supervisor.Opened); ok {
		opened, _ = s.rt.Channel(e.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := &seenEvent{Event: e, at: time.Since(s.began)}
	s.events = append(s.events, seen)
	defer s.notify()
	switch e := e.(type) {
	case supervisor.Opened:
		log := s.channel(e.ID)
		log.opened++
		if log.client = clientOf(opened); log.client != nil {
			log.client.channel = opened
		}
	case supervisor.Closed:
		log := s.channel(e.ID)
		log.closed++
		if log.client != nil {
			log.client.closed = &e
			log.client.note("closed by the server's side: %s", describe(e))
		}
	case supervisor.HandlerFailed:
		_, seen.asked = e.Reason.(crash)
	case supervisor.HandlerStuck:
		log := s.channels[e.ID]
		seen.asked = log != nil && log.hangs > 0
	}
}

// clientOf is the client whose request made a channel.
func clientOf(c *actors.Channel) *Client {
	if c == nil || c.Request() == nil {
		return nil
	}
	client, _ := c.Request().Context().Value(clientKey{}).(*Client)
	return client
}

// channel is called with mu held.
func (s *Sim) channel(id string) *channelLog {
	log := s.channels[id]
	if log == nil {
		log = &channelLog{}
		s.channels[id] = log
	}
	return log
}

func isFailure(e supervisor.Event) bool {
	switch e.(type) {
	case supervisor.HandlerFailed, supervisor.HandlerStuck:
		return true
	}
	return false
}

// describe is an event in a line, with the stack if it has one.
func describe(e supervisor.Event) string {
	var b strings.Builder
	b.WriteString(e.Name())
	stack := ""
	for _, a := range e.Attrs() {
		if a.Key == "stack" {
			stack = "\n" + a.Value.String()
			continue
		}
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
	}
	return b.String() + stack
}

func (s *Sim) eventLog() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, e := range s.events[max(0, len(s.events)-maxLines):] {
		fmt.Fprintf(&b, "%10v  %s\n", e.at, describe(e.Event))
	}
	if b.Len() == 0 {
		return "(none)"
	}
	return b.String()
}
