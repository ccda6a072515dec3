//go:build linux

package server

import (
	"strconv"
	"sync"
)

// hub fans out as the chat examples of gorilla/websocket and coder/websocket do:
// a bounded queue and a writing goroutine for each subscriber. One whose queue is
// full is closed. F is a message in the form that the library writes fastest.
type hub[F any] struct {
	counter
	mu    sync.RWMutex
	subs  map[*subscriber[F]]struct{}
	users map[string]*subscriber[F]
}

type subscriber[F any] struct {
	uid   string
	queue chan F // hub → writer; closed by the hub, under mu, when the subscriber leaves
	close func() // ends the connection, any number of times
}

const queueMessages = 256

func newHub[F any](phantoms int) *hub[F] {
	h := &hub[F]{subs: map[*subscriber[F]]struct{}{}, users: map[string]*subscriber[F]{}}
	for i := range phantoms {
		h.users[phantom(i)] = nil
	}
	return h
}

// join is enter with a writer, which ends when the subscriber leaves.
func (h *hub[F]) join(uid string, write func(F) error, close func()) *subscriber[F] {
	s := h.enter(uid, close)
	go func() {
		for f := range s.queue {
			if write(f) != nil {
				s.close()
			}
		}
	}()
	return s
}

// enter adds a subscriber that takes from the queue itself.
func (h *hub[F]) enter(uid string, close func()) *subscriber[F] {
	s := &subscriber[F]{uid: uid, queue: make(chan F, queueMessages), close: close}
	h.mu.Lock()
	h.subs[s] = struct{}{}
	if uid != "" {
		h.users[uid] = s
	}
	h.mu.Unlock()
	h.add(1)
	return s
}

func (h *hub[F]) leave(s *subscriber[F]) {
	h.mu.Lock()
	delete(h.subs, s)
	if h.users[s.uid] == s {
		delete(h.users, s.uid)
	}
	close(s.queue)
	h.mu.Unlock()
	s.close()
	h.add(-1)
}

func (h *hub[F]) publish(f F) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for s := range h.subs {
		s.post(f)
	}
}

func (h *hub[F]) send(uid string, f F) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if s := h.users[uid]; s != nil {
		s.post(f)
	}
}

// phantom is the name of a user who has no socket.
func phantom(i int) string { return "phantom-" + strconv.Itoa(i) }

func (s *subscriber[F]) post(f F) {
	select {
	case s.queue <- f:
	default:
		go s.close() // which may wait
	}
}
