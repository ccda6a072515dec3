//go:build linux

package server

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// house is an implementation behind net/http.
type house struct {
	impl implementation
	opts Options
	srv  *http.Server
	l    net.Listener
}

func startHouse(impl implementation, addr string, o Options) (*house, error) {
	h := &house{impl: impl, opts: o}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		impl.Close()
		return nil, err
	}
	h.l = l
	mux := http.NewServeMux()
	mux.HandleFunc("GET /echo", impl.Echo)
	mux.HandleFunc("GET /sub", impl.Subscribe)
	mux.HandleFunc("POST /publish", h.publish)
	mux.HandleFunc("POST /send", h.send)
	mux.HandleFunc("GET /stats", h.stats)
	h.srv = &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	if o.TLS {
		config, err := certificate()
		if err != nil {
			return nil, err
		}
		h.srv.TLSConfig = config
		go h.srv.ServeTLS(l, "", "")
	} else {
		go h.srv.Serve(l)
	}
	return h, nil
}

func (h *house) Addr() string { return h.l.Addr().String() }

func (h *house) Close() error {
	err := h.srv.Close()
	h.impl.Close()
	return err
}

func (h *house) publish(w http.ResponseWriter, r *http.Request) {
	p, err := parsePlan(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.run(func(int) { h.impl.Publish(p.message(h.opts.SSE)) })
	w.WriteHeader(http.StatusNoContent)
}

func (h *house) send(w http.ResponseWriter, r *http.Request) {
	p, err := parsePlan(r.URL.RawQuery)
	if err != nil || p.uids < 1 {
		http.Error(w, "uids must be at least 1", http.StatusBadRequest)
		return
	}
	p.run(func(i int) { h.impl.Send(p.uid(i), p.message(h.opts.SSE)) })
	w.WriteHeader(http.StatusNoContent)
}

// run calls f n times, each a gap after the one before was due.
func (p plan) run(f func(i int)) {
	due := time.Now()
	for i := range p.n {
		f(i)
		if p.gap > 0 {
			due = due.Add(p.gap)
			time.Sleep(time.Until(due))
		}
	}
}

func (h *house) stats(w http.ResponseWriter, r *http.Request) {
	s := look(r.URL.Query().Get("gc") == "1")
	s.Conns = h.impl.Conns()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s)
}

// counter is how many connections are ready.
type counter struct{ n atomic.Int64 }

func (c *counter) add(n int)  { c.n.Add(int64(n)) }
func (c *counter) Conns() int { return int(c.n.Load()) }
