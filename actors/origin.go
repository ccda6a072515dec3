package actors

import (
	"net/http"
	"net/netip"
	"strings"
	"unique"

	"github.com/troupe-actors/troupe/transport"
)

// origin is what a channel keeps of its client for as long as it lives: who it is,
// where it is, and what it has asked for, in one string. Immutable.
type origin struct {
	text   string                // the request's target; the uid, unless that is a part of it; the address
	host   unique.Handle[string] // the same for most channels; zero: there was no request
	target uint32                // how long it is
	uidAt  uint32                // the uid is text[uidAt:uidEnd]
	uidEnd uint32

	framing transport.Framing
	spelt   bool // the address is written out: as bytes it would not come back as it was
}

func originOf(r *http.Request, uid string, framing transport.Framing) origin {
	o := origin{framing: framing}
	target, address := "", ""
	if r != nil {
		target, address = r.RequestURI, r.RemoteAddr
		o.host = unique.Make(r.Host)
	}
	var packed [24]byte
	text := append(make([]byte, 0, 256), target...)
	o.target = uint32(len(text))
	at := strings.Index(target, uid)
	if at < 0 {
		at = len(text)
		text = append(text, uid...)
	}
	o.uidAt, o.uidEnd = uint32(at), uint32(at+len(uid))
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().Zone() == "" && a.String() == address {
		b, _ := a.AppendBinary(packed[:0]) // does not fail
		text = append(text, b...)
	} else {
		o.spelt = true
		text = append(text, address...)
	}
	o.text = string(text)
	return o
}

func (o *origin) uid() string { return o.text[o.uidAt:o.uidEnd] }

// uri is the request's target as the client wrote it.
func (o *origin) uri() string { return o.text[:o.target] }

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
