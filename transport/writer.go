package transport

import (
	"net/http"
	"reflect"
	"sync"
	"unsafe"
)

// ownWriter tells whether a response writer is net/http's own for HTTP/1: nobody
// has put something in front of it that acts when the head or the body is written.
func ownWriter(w http.ResponseWriter) bool {
	t := reflect.TypeOf(w)
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "net/http" && t.Elem().Name() == "response"
}

// asSent tells of a request what its *http.Request may say no more, since
// middleware replaces that, its body and its header: the method it came with, and
// whether its body has left the connection to the last byte, so that what follows
// there is the next request. It asks net/http's own writer for HTTP/1, which holds
// the request and the body that net/http reads the wire by. It does not wait. Where
// net/http keeps them in another way than is known here, the body has not been read.
func asSent(w http.ResponseWriter) (method string, bodyRead bool) {
	own := reflect.ValueOf(w).Elem()
	if r := own.FieldByName("req"); r.IsValid() && r.Type() == reflect.TypeFor[*http.Request]() && !r.IsNil() {
		method = (*http.Request)(r.UnsafePointer()).Method
	}
	body := own.FieldByName("reqBody")
	if body.Kind() != reflect.Interface || body.IsNil() {
		return method, false
	}
	body = body.Elem()
	if body.Type() == reflect.TypeOf(http.NoBody) {
		return method, true
	}
	if body.Kind() != reflect.Pointer || body.Elem().Kind() != reflect.Struct {
		return method, false
	}
	mu, end := body.Elem().FieldByName("mu"), body.Elem().FieldByName("sawEOF")
	if !mu.IsValid() || mu.Type() != reflect.TypeFor[sync.Mutex]() || end.Kind() != reflect.Bool {
		return method, false
	}
	lock := (*sync.Mutex)(unsafe.Pointer(mu.UnsafeAddr()))
	if !lock.TryLock() { // somebody is reading it
		return method, false
	}
	defer lock.Unlock()
	return method, end.Bool()
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
