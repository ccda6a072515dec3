package actors

import (
	"net/http"
	"net/netip"
	"strings"
	"unique"

	"github.com/troupe-actors/troupe/transport"
)

// origin is what a channel keeps of its client for as long as it lives: who it is,
// where it is, and what it has asked for. It is in one string with the channel's
// name: small ones among a request's garbage would hold several times their size.
// Immutable.
type origin struct {
	text   string                // name, the request's target, the uid unless that is a part of it, the address
	host   unique.Handle[string] // the same for most channels; zero: there was no request
	target uint32                // where it ends
	uidAt  uint32                // the uid is text[uidAt:uidEnd]
	uidEnd uint32

	named   uint8 // where the name ends
	framing transport.Framing
	spelt   bool // the address is written out: as bytes it would not come back as it was
}

// originOf has no request if r is nil.
func originOf(name string, r *http.Request, uid string, framing transport.Framing) origin {
	o := origin{named: uint8(len(name)), framing: framing}
	target, address := "", ""
	if r != nil {
		target, address = r.RequestURI, r.RemoteAddr
		o.host = unique.Make(r.Host)
	}
	text := append(make([]byte, 0, 256), name...)
	text = append(text, target...)
	o.target = uint32(len(text))
	if at := strings.Index(target, uid); at >= 0 {
		o.uidAt = uint32(len(name) + at)
	} else {
		o.uidAt = o.target
		text = append(text, uid...)
	}
	o.uidEnd = o.uidAt + uint32(len(uid))
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().Zone() == "" && a.String() == address {
		text, _ = a.AppendBinary(text) // does not fail
	} else {
		o.spelt = true
		text = append(text, address...)
	}
	o.text = string(text)
	return o
}

// name is the Id of the channel's PID.
func (o *origin) name() string { return o.text[:o.named] }

func (o *origin) uid() string { return o.text[o.uidAt:o.uidEnd] }

// uri is the request's target as the client wrote it.
func (o *origin) uri() string { return o.text[o.named:o.target] }

// remote is the client's address as the request told it, "" if there was none.
func (o *origin) remote() string {
	b := o.text[max(o.target, o.uidEnd):]
	if o.spelt {
		return b
	}
	var a netip.AddrPort
	_ = a.UnmarshalBinary([]byte(b)) // it was made by AppendBinary
	return a.String()
}
