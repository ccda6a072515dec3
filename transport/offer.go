package transport

import (
	"strconv"
	"strings"
)

// deflateName is the extension of RFC 7692.
const deflateName = "permessage-deflate"

// offer is one permessage-deflate offer of a client (RFC 7692 §7.1).
type offer struct {
	serverNoTakeover, clientNoTakeover bool

	// Logarithms of window sizes; 0: not given.
	serverBits, clientBits uint8

	// clientMayLimit: client_max_window_bits was there, with a value or without.
	clientMayLimit bool
}

const (
	minWindowBits = 8
	maxWindowBits = 15
)

// firstOffer is the first offer for permessage-deflate that can be accepted. One
// that cannot is passed over, as those for other extensions are: the client may
// have put a simpler one behind it (RFC 7692 §5).
func firstOffer(extensions []extension) (offer, bool) {
	for _, e := range extensions {
		if o, ok := e.offer(); ok {
			return o, true
		}
	}
	return offer{}, false
}

// offer declines (RFC 7692 §7.1) what has a parameter that is unknown, that comes
// twice, or whose value is wrong.
func (e extension) offer() (o offer, ok bool) {
	if !strings.EqualFold(e.name, deflateName) {
		return o, false
	}
	for _, p := range e.params {
		given := p.value != ""
		switch key := strings.ToLower(p.key); {
		case key == "server_no_context_takeover" && !given && !o.serverNoTakeover:
			o.serverNoTakeover = true
		case key == "client_no_context_takeover" && !given && !o.clientNoTakeover:
			o.clientNoTakeover = true
		case key == "server_max_window_bits" && o.serverBits == 0:
			if o.serverBits = windowBits(p.value); o.serverBits == 0 {
				return o, false
			}
		case key == "client_max_window_bits" && !o.clientMayLimit:
			o.clientMayLimit = true
			if !given {
				continue
			}
			if o.clientBits = windowBits(p.value); o.clientBits == 0 {
				return o, false
			}
		default:
			return o, false
		}
	}
	return o, true
}

// windowBits is a number from 8 to 15 without leading zeros (RFC 7692 §7.1.2), or 0.
func windowBits(s string) uint8 {
	for bits := uint8(minWindowBits); bits <= maxWindowBits; bits++ {
		if s == strconv.Itoa(int(bits)) {
			return bits
		}
	}
	return 0
}

// clientWindow is the window that a client is to keep to whose context we keep.
func (o offer) clientWindow() uint8 {
	switch {
	case !o.clientMayLimit:
		return maxWindowBits
	case o.clientBits != 0:
		return min(o.clientBits, takeoverBits)
	}
	return takeoverBits
}

// agree accepts the first offer that is one. None has to be declined for what it
// asks: every window is honoured, and where there is no memory for takeover, a
// server may forbid it in both directions unasked (RFC 7692 §7.1.1). response is
// the value of Sec-WebSocket-Extensions. Without an offer d is nil and response
// empty. What d holds of the budget, free gives back.
func (c *Deflate) agree(lines []string) (d *deflate, response string) {
	if c == nil {
		return nil, ""
	}
	extensions, _ := parseExtensions(lines) // that they are well formed was seen before
	o, ok := firstOffer(extensions)
	if !ok {
		return nil, ""
	}
	d = &deflate{cfg: c, bits: maxWindowBits}
	response = deflateName
	if o.serverBits != 0 {
		d.bits = o.serverBits
		response += "; server_max_window_bits=" + strconv.Itoa(int(d.bits))
	}
	if c.ServerTakeover && !o.serverNoTakeover {
		d.sent = c.newHistory(min(d.bits, takeoverBits))
	}
	if d.sent == nil {
		response += "; server_no_context_takeover"
	}
	clientBits := o.clientBits
	if c.ClientTakeover && !o.clientNoTakeover {
		kept := o.clientWindow()
		if d.received = c.newHistory(kept); d.received != nil && o.clientMayLimit {
			clientBits = kept
		}
	}
	if d.received == nil {
		response += "; client_no_context_takeover"
	}
	if clientBits != 0 {
		response += "; client_max_window_bits=" + strconv.Itoa(int(clientBits))
	}
	return d, response
}
