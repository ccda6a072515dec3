package actors

import (
	"errors"
	"net/http"

	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// ErrRefused is the error of a request that was answered and is no channel.
var ErrRefused = errors.New("actors: the request was refused")

// answerWatch sees whether a hook answered by itself.
type answerWatch struct {
	http.ResponseWriter
	written bool
	status  int
}

func (a *answerWatch) WriteHeader(status int) {
	if status >= http.StatusOK { // not the informational ones
		a.written, a.status = true, status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answerWatch) Write(b []byte) (int, error) {
	if !a.written {
		a.written, a.status = true, http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

func (a *answerWatch) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// refuse answers a request that does not become a channel.
func (ep *Endpoint) refuse(w http.ResponseWriter, r *http.Request, status int, reason string) {
	ep.answer(w, r, status, reason)
	ep.rt.event(supervisor.Refused{Remote: r.RemoteAddr, Status: status, Reason: reason})
}

func (ep *Endpoint) answer(w http.ResponseWriter, r *http.Request, status int, reason string) {
	if ep.opts.Refuse != nil {
		ep.opts.Refuse(w, r, status, reason)
		return
	}
	http.Error(w, reason, status)
}

func (ep *Endpoint) refuseError(w http.ResponseWriter, r *http.Request, err error) {
	var bad *transport.HandshakeError
	if !errors.As(err, &bad) {
		ep.rt.log.Error("opening a channel", supervisor.Text("err", err), supervisor.Text("remote", r.RemoteAddr))
		ep.refuse(w, r, http.StatusInternalServerError, "the connection cannot be opened")
		return
	}
	for k, v := range bad.Header {
		w.Header()[k] = v
	}
	ep.refuse(w, r, bad.Status, bad.Reason)
}

func (ep *Endpoint) refuseSpawn(w http.ResponseWriter, r *http.Request, err error) {
	if ep.refuseLimit(w, r, err) {
		return
	}
	if errors.Is(err, ErrStopped) {
		ep.rt.sendElsewhere(w, r)
		ep.refuse(w, r, http.StatusServiceUnavailable, "the server is going away")
		return
	}
	ep.rt.log.Error("spawning a channel", supervisor.Text("err", err), supervisor.Text("remote", r.RemoteAddr))
	ep.refuse(w, r, http.StatusInternalServerError, "the connection cannot be opened")
}
