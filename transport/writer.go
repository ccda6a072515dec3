package transport

import (
	"net/http"
	"reflect"
)

// ownWriter tells whether a response writer is net/http's own for HTTP/1: nobody
// has put something in front of it that acts when the head or the body is written.
func ownWriter(w http.ResponseWriter) bool {
	t := reflect.TypeOf(w)
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "net/http" && t.Elem().Name() == "response"
}

// canFlush tells whether a response can be pushed out in the middle. It looks
// through wrappers as http.ResponseController does, without writing.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case interface{ FlushError() error }, http.Flusher:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// canHijack tells whether a connection can be taken over, in the same way.
func canHijack(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}
