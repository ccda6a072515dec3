package events

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"github.com/troupe-actors/troupe/events/protocol"
)

// Declared is an event as the types of a program say it: for who generates code for
// clients (package tstypes).
type Declared struct {
	Name   string
	Server bool         // the server says it, or asks it; else clients do
	Data   reflect.Type // what is said or asked
	Answer reflect.Type // nil: no question
}

// Says declares that the server says an event with data T. It changes nothing but
// what [Server.Declared] lists.
func Says[T any](srv *Server, name string) {
	srv.declare(Declared{Name: name, Server: true, Data: reflect.TypeFor[T]()})
}

// Asks declares that the server asks a question Q of its clients, whose answer is R.
func Asks[Q, R any](srv *Server, name string) {
	srv.declare(Declared{Name: name, Server: true, Data: reflect.TypeFor[Q](), Answer: reflect.TypeFor[R]()})
}

// declare notes what the server says; what it hears is with the handler.
func (srv *Server) declare(d Declared) {
	if err := protocol.CheckEvent(d.Name); err != nil {
		panic(fmt.Sprintf("events: the name %q: %v", d.Name, err))
	}
	rs := &srv.routes
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.said = append(slices.DeleteFunc(rs.said, func(other Declared) bool {
		return other.Name == d.Name && (other.Answer == nil) == (d.Answer == nil)
	}), d)
}

// Declared lists the events that [On] and [Reply] have registered, and those that [Says] and
// [Asks] have declared, by name.
func (srv *Server) Declared() []Declared {
	rs := &srv.routes
	rs.mu.Lock()
	defer rs.mu.Unlock()
	all := slices.Clone(rs.said)
	for _, r := range rs.load() {
		all = append(all, r.declared)
	}
	slices.SortFunc(all, func(a, b Declared) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
