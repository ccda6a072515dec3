package events

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
)

// Refusal is why a request is refused, and what it is answered.
type Refusal struct {
	Status int           // 400 to 599; any other is logged, and answered with 401
	Code   string        // a word for the client; see docs/protocol.md §4. Default "unauthorized"
	Reason string        // a sentence for whoever reads it there
	Retry  time.Duration // when to come back; 0: not at all

	speaks []string // of the code "version"
}

func (e *Refusal) Error() string {
	return "events: refused with " + strconv.Itoa(e.Status) + " " + e.Code + ": " + e.Reason
}

func refusal(status int, code, reason string) *Refusal {
	return &Refusal{Status: status, Code: code, Reason: reason}
}

// The refusals that say no more than this. An Authorize may return them.
var (
	ErrUnauthorized error = refusal(http.StatusUnauthorized, "unauthorized", "unauthorized request")
	ErrForbidden    error = refusal(http.StatusForbidden, "forbidden", "not for this user")
)

var (
	errCSRF      = refusal(http.StatusForbidden, "csrf", "bad CSRF token")
	errTicket    = refusal(http.StatusForbidden, "ticket", "the ticket is not valid (any more)")
	errSession   = refusal(http.StatusGone, "session", "there is no such session (any more)")
	errNumbers   = refusal(http.StatusBadRequest, "numbers", "there is a gap before a message")
	errMessage   = refusal(http.StatusBadRequest, "message", "malformed message")
	errBroken    = &Refusal{Status: http.StatusRequestTimeout, Code: "slow", Reason: "the body breaks off", Retry: time.Second}
	errHelloSize = refusal(http.StatusBadRequest, "hello", "too large")
	errLarge     = refusal(http.StatusRequestEntityTooLarge, "large", "too large")
	errEncoding  = refusal(http.StatusUnsupportedMediaType, "encoding", "a body is text, not compressed")
	errBusy      = &Refusal{Status: http.StatusServiceUnavailable, Code: "overload", Reason: "what was said before is still waiting", Retry: time.Second}
	errAgain     = &Refusal{Status: http.StatusServiceUnavailable, Code: "overload", Reason: "once more", Retry: time.Second}
	errAway      = &Refusal{Status: http.StatusServiceUnavailable, Code: "overload", Reason: "the session's node does not answer", Retry: time.Second}
	errFailed    = &Refusal{Status: http.StatusInternalServerError, Code: "failed", Reason: "the connection cannot be opened", Retry: 5 * time.Second}
	errMethod    = refusal(http.StatusMethodNotAllowed, "method", "GET with an upgrade, or POST")
	errUpgrade   = refusal(http.StatusUpgradeRequired, "upgrade", "a GET is an upgrade to a WebSocket")
)

// refuse answers, and logs what is the server's own fault.
func (srv *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	refused := srv.answerTo(r, err)
	if refused.Retry > 0 {
		w.Header().Set("Retry-After", strconv.FormatFloat(math.Ceil(refused.Retry.Seconds()), 'f', 0, 64))
	}
	if srv.opts.Refuse != nil {
		srv.opts.Refuse(w, r, refused)
		return
	}
	body := protocol.Refusal{Code: refused.Code, Reason: refused.Reason, Speaks: refused.speaks}
	body.Retry = int64(math.Ceil(refused.Retry.Seconds() * 1000))
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // strings and numbers
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(refused.Status)
	_, _ = w.Write(append(b, '\n')) // who is gone needs no answer
}

// answerTo is the refusal that an error amounts to: the caller's own.
func (srv *Server) answerTo(r *http.Request, err error) *Refusal {
	var answer Refusal
	var refused *Refusal
	switch {
	case errors.As(err, &refused) && refused != nil:
		answer = *refused
	case errors.Is(err, protocol.ErrVersion):
		answer = Refusal{Status: http.StatusBadRequest, Code: "version", Reason: "this version of the protocol is not spoken here"}
		answer.speaks = srv.speaks()
	case errors.Is(err, protocol.ErrHello):
		answer = Refusal{Status: http.StatusBadRequest, Code: "hello", Reason: faultOf(err)}
	default:
		srv.opts.Logger.Warn("events: authorizing", supervisor.Text("err", err), supervisor.Text("remote", r.RemoteAddr))
		answer.Status = http.StatusUnauthorized
		answer.Reason = "unauthorized request"
	}
	if answer.Status < 400 || answer.Status > 599 {
		srv.opts.Logger.Error("events: a Refusal with a status that refuses nobody", "status", answer.Status)
		answer.Status = http.StatusUnauthorized
	}
	if answer.Code == "" {
		answer.Code = "unauthorized"
	}
	answer.Retry = max(answer.Retry, 0)
	return &answer
}

// faultOf is what is wrong with a hello, in words of the protocol.
func faultOf(err error) string {
	var member *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	var encoding base64.CorruptInputError
	switch {
	case errors.As(err, &member) && member.Field != "":
		return "the value of " + member.Field + " is of the wrong kind"
	case errors.As(err, &member):
		return "want a JSON object"
	case errors.As(err, &syntax):
		return "malformed JSON"
	case errors.As(err, &encoding):
		return "malformed base64url"
	}
	return strings.TrimPrefix(err.Error(), protocol.ErrHello.Error()+": ")
}

// refuseByChannel writes what the runtime refuses.
func (srv *Server) refuseByChannel(w http.ResponseWriter, r *http.Request, status int, reason string) {
	refused := Refusal{Status: status, Code: "upgrade", Reason: reason}
	switch status {
	case http.StatusForbidden:
		refused.Code = "origin"
	case http.StatusTooManyRequests:
		refused.Code, refused.Retry = "limit", 10*time.Second
	case http.StatusServiceUnavailable:
		refused.Code, refused.Retry = "overload", time.Second
		if srv.rt.State() != actors.Running {
			refused.Code, refused.Retry = "draining", srv.rt.Slot()
		}
	case http.StatusInternalServerError:
		refused = *errFailed
	}
	srv.refuse(w, r, &refused)
}

func (srv *Server) speaks() []string {
	names := make([]string, len(srv.codecs))
	for i, c := range srv.codecs {
		names[i] = c.Subprotocol()
	}
	return names
}
