package troupe_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing/synctest"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// arrive brings one more channel: by a request to the server, whose link goroutines
// serve, or without one, on a link that signals when it is ready, as those of the
// poller do.
func (w *world) arrive() {
	synctest.Wait()
	all, served := w.living()
	s := &subject{w: w, uid: fmt.Sprintf("user-%d", len(w.subjects)), rng: rand.New(rand.NewPCG(w.rng.Uint64(), 2))}
	s.framing = one(w.rng, transport.FramingWebSocket, transport.FramingWebSocket, transport.FramingSSE, transport.FramingStream)
	s.stream = s.framing != transport.FramingWebSocket
	s.reading.L = &s.mu
	if w.opts.Overflow == actors.CloseSlow || w.opts.BroadcastOverflow.IsZero() {
		s.expect(supervisor.CauseSlowConsumer)
	}
	if w.opts.CloseOverRate && !s.stream {
		s.expect(supervisor.CauseRateLimited)
	}
	for range w.rng.IntN(3) {
		s.openPlan = append(s.openPlan, w.command())
	}
	s.closePlan = one(w.rng, "", "", "panic", "stick", "stick-panic", "goexit", "nap", "send", "on close")
	s.lifePlan = one(w.rng, "", "", "", "started", "stopping", "stopped", "restarting", "stick-started", "stick-restarting", "stick-stopping")
	w.mu.Lock()
	w.subjects = append(w.subjects, s)
	w.mu.Unlock()
	s.served = w.rng.IntN(2) == 0
	buffer := one(w.rng, 20, 64, 300, 4000)
	w.note("%s: open %v, served %v, buffer %d, plan %q, close %q, life %q", s.uid, s.framing, s.served, buffer, s.openPlan, s.closePlan, s.lifePlan)
	if s.served {
		s.connect(buffer)
	} else {
		s.open(buffer)
	}
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var limit *actors.LimitError
	if errors.As(s.refusal, &limit) {
		w.note("%s: %v", s.uid, limit)
	}
	if limit != nil && (limit.Limit == "MaxChannels" && all < limit.Max || limit.Limit == "MaxPerIP" && served < limit.Max) {
		s.fault("%v, and there are %d channels, %d of the same address", limit, all, served)
	}
	if max := w.cfg.MaxChannels; max > 0 && s.c != nil && w.rt.Len() > max {
		s.fault("%d channels of at most %d", w.rt.Len(), max)
	}
}

// living is how many channels there are, and how many of them came by a request.
func (w *world) living() (all, served int) {
	for _, s := range w.subjects {
		if c := s.channel(); c != nil && w.watcher.count(c.ID()) == 0 {
			all++
			if s.served {
				served++
			}
		}
	}
	return
}

// open makes a channel of a link in memory.
func (s *subject) open(buffer int) {
	w := s.w
	link, conn := (&transport.Config{MaxMessageBytes: w.opts.MaxMessageBytes}).MemoryStream(s.framing, buffer)
	s.peer = transporttest.NewPeer(conn, bufio.NewReaderSize(conn, 16))
	w.tasks.Go(func() {
		switch s.framing {
		case transport.FramingWebSocket:
			s.stopReading(s.readFrames(s.peer))
		case transport.FramingSSE:
			s.stopReading(s.readLines(conn))
		default:
			s.stopReading(s.readBytes(conn, func(b []byte) { s.arrived(string(b), false) }))
		}
	})
	s.adopt(w.ep.Open(link, nil, s.uid))
}

// serve answers a request.
func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	uid := r.URL.Query().Get("user")
	w.of(uid).adopt(w.ep.Accept(rw, r, uid))
}

// adopt takes what came of a request.
func (s *subject) adopt(c *actors.Channel, err error) {
	s.mu.Lock()
	s.refusal = err
	if err == nil {
		s.c = c
	}
	s.mu.Unlock()
	if err == nil {
		s.w.rt.System().Root.Send(s.w.watchID, c.PID())
	}
}

// connect makes a request. The peer may speak before it has the answer.
func (s *subject) connect(buffer int) {
	w := s.w
	options := []actorstest.Option{actorstest.Buffer(buffer)}
	if w.rng.IntN(2) == 0 {
		options = append(options, actorstest.Split())
	}
	if w.rng.IntN(8) == 0 {
		w.note("%s: the link will be cut", s.uid)
		options = append(options, actorstest.CutWithin(3000))
		s.expect(supervisor.CauseConnectionLost)
	}
	conn := w.Dial(options...)
	s.peer = transporttest.NewPeer(conn, nil)
	address := "http://troupe.test/?user=" + s.uid
	offer := one(w.rng, "", "permessage-deflate", "permessage-deflate; client_max_window_bits; server_max_window_bits=10")
	w.tasks.Go(func() {
		if s.framing == transport.FramingWebSocket {
			p, resp, err := transporttest.Upgrade(context.Background(), conn, address, withOffer(offer)...)
			if err != nil {
				return // it was refused, or is over
			}
			if resp.Header.Get("Sec-WebSocket-Extensions") != "" {
				s.mu.Lock()
				s.deflater = p
				s.mu.Unlock()
			}
			s.stopReading(s.readFrames(p))
			return
		}
		s.stopReading(s.readResponse(conn, address))
	})
}

func withOffer(offer string) []transporttest.Option {
	if offer == "" {
		return nil
	}
	return []transporttest.Option{transporttest.WithCompression(offer)}
}

// readResponse asks for a stream and reads it.
func (s *subject) readResponse(conn io.ReadWriter, address string) error {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	if s.framing == transport.FramingSSE {
		r.Header.Set("Accept", "text/event-stream")
	}
	if err := r.Write(conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), r)
	switch {
	case err != nil:
		return err
	case resp.Header.Get("X-Content-Type-Options") != "": // http.Error: it was refused
		return errors.New(resp.Status)
	case s.framing == transport.FramingSSE:
		return s.readLines(resp.Body)
	}
	return s.readBytes(resp.Body, func(b []byte) { s.arrived(string(b), false) })
}
