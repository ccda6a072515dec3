package actors

import (
	"bytes"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/troupe-actors/troupe/supervisor"
)

// errorLog is what net/http has to say, line by line: a name that a TLS client
// asked for may be in it.
type errorLog struct{ log *slog.Logger }

func (e errorLog) Write(line []byte) (int, error) {
	e.log.Warn("net/http", supervisor.Text("line", string(bytes.TrimSuffix(line, []byte("\n")))))
	return len(line), nil
}

// panicked reports the panic of an HTTP handler, and ends its connection. Net/http
// would do the same, and print the value, in which may be what a peer has sent, as
// it is.
func (s *Server) panicked(r *http.Request) {
	switch reason := recover(); reason {
	case nil:
	case http.ErrAbortHandler:
		panic(reason)
	default:
		s.rt.log.Error("panic in an HTTP handler", supervisor.Text("remote", r.RemoteAddr),
			supervisor.Text("reason", reason), slog.String("stack", string(debug.Stack())))
		panic(http.ErrAbortHandler)
	}
}
