package membership

import (
	"cmp"
	"errors"
	"net"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// What a [Member] is made of is bounded, so that every provider can carry it.
const (
	MaxNameBytes    = 128
	MaxAddrBytes    = 255
	MaxProcessBytes = 64
)

// Member is one life of one node.
type Member struct {
	// Name is the operator's, one for each node: 1 to MaxNameBytes bytes of
	// printable UTF-8 without spaces, '/' and '@'.
	Name string

	// Addr is where others reach the node's remote: host:port, with a host and a
	// port that is not 0. At most MaxAddrBytes.
	Addr string

	// Epoch tells the lives of a name apart: a later life has a greater one.
	Epoch uint64

	// Process is a nonce of this run of the node, and stays over its lives: no run
	// before or after has it, of any node. 1 to MaxProcessBytes bytes, as Name.
	Process string

	// Draining says that the node takes nothing new.
	Draining bool
}

// Validate returns a *[MemberError] when m is not what the fields promise.
func (m Member) Validate() error {
	switch {
	case !isWord(m.Name, MaxNameBytes):
		return &MemberError{"Name", m.Name, "1 to 128 bytes of printable UTF-8 without spaces, '/' and '@'"}
	case !isWord(m.Process, MaxProcessBytes):
		return &MemberError{"Process", m.Process, "1 to 64 bytes of printable UTF-8 without spaces, '/' and '@'"}
	case !isAddr(m.Addr):
		return &MemberError{"Addr", m.Addr, "host:port of at most 255 bytes, with a port of 1 to 65535"}
	}
	return nil
}

// MemberError is a field of a [Member] that no member may have.
type MemberError struct {
	Field, Value, Want string
}

func (e *MemberError) Error() string {
	return "membership: Member." + e.Field + " is " + strconv.Quote(e.Value) + ", want " + e.Want
}

// Errors of a [Provider] that is used out of order; match with errors.Is.
var (
	ErrStarted    = errors.New("membership: provider was started before")
	ErrNotRunning = errors.New("membership: provider is not running") // not started, or stopped
	ErrLeft       = errors.New("membership: this node has left")
)

func isWord(s string, most int) bool {
	if s == "" || len(s) > most || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r == '/' || r == '@' || r == ' ' || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

func isAddr(s string) bool {
	if len(s) > MaxAddrBytes {
		return false
	}
	host, port, err := net.SplitHostPort(s)
	n, notNumber := strconv.ParseUint(port, 10, 16)
	if err != nil || notNumber != nil || n == 0 || host == "" || !utf8.ValidString(host) {
		return false
	}
	for _, r := range host {
		if r == ' ' || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// SameNode returns a *[MemberError] when next is not self in a later state, as
// an Update must be: Name and Process stay, and the Epoch never falls.
func SameNode(self, next Member) error {
	switch {
	case next.Name != self.Name:
		return &MemberError{"Name", next.Name, "that of Start"}
	case next.Process != self.Process:
		return &MemberError{"Process", next.Process, "that of Start"}
	case next.Epoch < self.Epoch:
		return &MemberError{"Epoch", strconv.FormatUint(next.Epoch, 10), "no less than the one before"}
	}
	return next.Validate()
}

// View is what a provider of self tells of all the members it found, which may
// name a node twice while its earlier life is not known to be dead: one member of
// each Name and of each Addr, that of the greatest epoch, sorted by name; nobody
// who has the Addr of self, and who has its Name only if it is another process of a
// greater epoch, which the others believe. It changes all.
func View(self Member, all []Member) []Member {
	slices.SortFunc(all, func(a, b Member) int {
		return cmp.Or(cmp.Compare(b.Epoch, a.Epoch), cmp.Compare(b.Process, a.Process))
	})
	names, addrs := map[string]bool{}, map[string]bool{self.Addr: true}
	view := all[:0]
	for _, m := range all {
		older := m.Name == self.Name && (m.Process == self.Process || m.Epoch <= self.Epoch)
		if older || names[m.Name] || addrs[m.Addr] {
			continue
		}
		names[m.Name], addrs[m.Addr] = true, true
		view = append(view, m)
	}
	slices.SortFunc(view, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return view
}
