package transport

import (
	"context"
	"log"
	"net/http"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"
)

// lastWrite is how long net/http may take over the bytes that it writes itself,
// where the server has no WriteTimeout.
const lastWrite = 10 * time.Second

// serverOf is the server that a request came from; nil: not known.
func serverOf(ctx context.Context) *http.Server {
	s, _ := ctx.Value(http.ServerContextKey).(*http.Server)
	return s
}

// writeTimeout is how long a server gives a response.
func writeTimeout(s *http.Server) time.Duration {
	if s != nil && s.WriteTimeout > 0 {
		return s.WriteTimeout
	}
	return lastWrite
}

// keepAlives tells whether SetKeepAlivesEnabled allows a server to go on with its
// connections. net/http keeps that to itself; where it is not found it is allowed.
func keepAlives(s *http.Server) bool {
	f := reflect.ValueOf(s).Elem().FieldByName("disableKeepAlives")
	if !f.IsValid() || f.Type() != reflect.TypeFor[atomic.Bool]() {
		return true
	}
	return !(*atomic.Bool)(unsafe.Pointer(f.UnsafeAddr())).Load()
}

// hooked tells whether the application looks at a server's connections. Then they
// must be of the type that its listener gave them: a hook that expects it panics at
// another, at the end of a connection where nobody recovers.
func hooked(s *http.Server) bool { return s.ConnContext != nil }

// counted tells whether the application follows what becomes of a server's
// connections. It was told that this one was hijacked, the last it is to hear of it:
// httptest.Server, for one, would have Close wait for a connection that comes back
// while it waits.
func counted(s *http.Server) bool { return s.ConnState != nil }

func logf(s *http.Server, format string, args ...any) {
	if s.ErrorLog != nil {
		s.ErrorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}
