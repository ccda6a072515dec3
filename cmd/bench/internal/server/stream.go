//go:build linux

package server

import (
	"fmt"
	"net/http"
)

// stream is server-sent events by net/http alone: a handler that writes and
// flushes what it takes from a queue.
type stream struct{ *hub[[]byte] }

func newStream(o Options) (implementation, error) { return &stream{newHub[[]byte](o.Phantoms)}, nil }

func (s *stream) Echo(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "no WebSockets here", http.StatusNotImplemented)
}

func (s *stream) Subscribe(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	if rc.Flush() != nil {
		return
	}
	gone := make(chan struct{}, 1)
	sub := s.enter(r.URL.Query().Get("uid"), func() {
		select {
		case gone <- struct{}{}:
		default:
		}
	})
	defer s.leave(sub)
	for {
		select {
		case event := <-sub.queue:
			if _, err := w.Write(event); err != nil || rc.Flush() != nil {
				return
			}
		case <-gone:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (s *stream) Publish(b []byte) { s.publish(fmt.Appendf(nil, "data: %s\n\n", b)) }

func (s *stream) Send(uid string, b []byte) { s.send(uid, fmt.Appendf(nil, "data: %s\n\n", b)) }

func (s *stream) Close() {}
