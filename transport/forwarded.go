package transport

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Trusts reports whether an address is in one of the prefixes. IPv4 written as
// IPv6 counts as IPv4, and zones do not matter.
func Trusts(prefixes []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// localhost stands for the peers of a Unix socket.
var localhost = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// PeerAddr is the address of who has sent a request, as net/http, or middleware,
// has set it: with port 0 if that is not told. The peer of a Unix socket is
// 127.0.0.1. It is not valid if RemoteAddr is no address.
func PeerAddr(r *http.Request) netip.AddrPort {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && a.Network() == "unix" {
		return netip.AddrPortFrom(localhost, 0)
	}
	a, _ := parseHop(r.RemoteAddr)
	return a
}

func plainAddr(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// ClientAddr is the address of the client that trusted proxies have sent a request
// for. Only if PeerAddr is trusted, the hops that X-Forwarded-For or Forwarded (RFC
// 7239) name are followed back, from the last one, as long as they are trusted: the
// client is the first that is not, or else the first of all. Its port is 0 if
// nobody has told.
//
// What stands in front of that may be anybody's invention and is not looked at.
// Where a hop has no address ("unknown", or "_hidden"), the one behind it is the
// client. If both fields are there and differ, a proxy has passed on what it
// should have removed: then neither is believed, and the client is the peer. So
// a proxy must append to one of the two, and it does not matter to which.
func ClientAddr(r *http.Request, trusted []netip.Prefix) netip.AddrPort {
	peer := PeerAddr(r)
	if len(trusted) == 0 || !Trusts(trusted, peer.Addr()) {
		return peer
	}
	client, told := peer, false
	for name, read := range map[string]func(string) ([]string, error){
		"X-Forwarded-For": commaSeparated,
		"Forwarded":       forwardedFor,
	} {
		if len(r.Header[name]) == 0 {
			continue
		}
		hops, err := read(strings.Join(r.Header[name], ","))
		if err != nil {
			return peer
		}
		c := follow(peer, hops, trusted)
		if told && c.Addr() != client.Addr() {
			return peer
		}
		client, told = c, true
	}
	return client
}

// follow goes back over the hops for as long as they are trusted.
func follow(client netip.AddrPort, hops []string, trusted []netip.Prefix) netip.AddrPort {
	for i := len(hops) - 1; i >= 0 && Trusts(trusted, client.Addr()); i-- {
		hop, ok := parseHop(hops[i])
		if !ok {
			break
		}
		client = hop
	}
	return client
}

// parseHop reads an address with or without a port, an IPv6 one also in brackets.
func parseHop(s string) (netip.AddrPort, bool) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return plainAddr(netip.AddrPortFrom(a, 0)), true
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return plainAddr(a), true
	}
	host, port, ok := strings.Cut(s, ":") // RFC 7239 §6: a port may be obfuscated, too
	if a, err := netip.ParseAddr(host); ok && err == nil && strings.HasPrefix(port, "_") {
		return plainAddr(netip.AddrPortFrom(a, 0)), true
	}
	return netip.AddrPort{}, false
}

func commaSeparated(list string) (hops []string, err error) {
	for hop := range strings.SplitSeq(list, ",") {
		if hop = strings.Trim(hop, " \t"); hop != "" { // RFC 9110 §5.6.1.2
			hops = append(hops, hop)
		}
	}
	return hops, nil
}

var errForwarded = errors.New("transport: malformed Forwarded")

// forwardedFor is what each element says its hop was for, "" if nothing.
func forwardedFor(list string) (hops []string, err error) {
	elements, err := splitUnquoted(list, ',')
	for _, element := range elements {
		pairs, e := splitUnquoted(element, ';')
		if err = errors.Join(err, e); strings.Trim(element, " \t") == "" {
			continue
		}
		hop := ""
		for _, pair := range pairs {
			name, value, _ := strings.Cut(pair, "=")
			if !strings.EqualFold(strings.Trim(name, " \t"), "for") {
				continue
			}
			if hop != "" {
				return nil, errForwarded // RFC 7239 §4: once in an element
			}
			hop = strings.Trim(value, " \t")
			if quoted, ok := strings.CutPrefix(hop, `"`); ok {
				hop = strings.TrimSuffix(quoted, `"`)
			}
		}
		hops = append(hops, hop)
	}
	return hops, err
}

// splitUnquoted splits where sep is not in a quoted string (RFC 9110 §5.6.4).
func splitUnquoted(s string, sep byte) (parts []string, err error) {
	quoted, start := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == sep && !quoted:
			parts, start = append(parts, s[start:i]), i+1
		}
	}
	if quoted {
		return nil, errForwarded
	}
	return append(parts, s[start:]), nil
}
