package transport_test

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

func TestClientAddr(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("127.0.0.1/32")}
	const proxy, stranger = "10.0.0.1:4000", "203.0.113.9:4000"
	for _, c := range []struct {
		name      string
		remote    string // default: the proxy
		forwarded string
		xff       string
		trust     []netip.Prefix // default: trusted
		want      string
	}{
		{name: "no proxy", remote: stranger, want: stranger},
		{name: "a stranger says something", remote: stranger, xff: "192.0.2.1", forwarded: "for=192.0.2.1", want: stranger},
		{name: "nobody is trusted", xff: "192.0.2.1", trust: []netip.Prefix{}, want: proxy},
		{name: "a proxy says nothing", want: proxy},
		{name: "a proxy", xff: "192.0.2.1", want: "192.0.2.1:0"},
		{name: "an invention in front", xff: "1.1.1.1, 192.0.2.1", want: "192.0.2.1:0"},
		{name: "rubbish in front", xff: "\x00rubbish, 192.0.2.1", want: "192.0.2.1:0"},
		{name: "two proxies", xff: "192.0.2.1, 10.9.9.9", want: "192.0.2.1:0"},
		{name: "two proxies and an invention", xff: "10.1.1.1, 192.0.2.1, 10.9.9.9", want: "192.0.2.1:0"},
		{name: "proxies only", xff: "10.3.3.3, 10.2.2.2", want: "10.3.3.3:0"},
		{name: "no address", xff: "192.0.2.1, unknown", want: proxy},
		{name: "no address behind a proxy", xff: "unknown, 10.9.9.9", want: "10.9.9.9:0"},
		{name: "nothing", xff: " ", want: proxy},
		{name: "gaps", xff: " ,192.0.2.1 ,, ", want: "192.0.2.1:0"},
		{name: "a port", xff: "192.0.2.1:77", want: "192.0.2.1:77"},
		{name: "IPv6", xff: "2001:db8::1", want: "[2001:db8::1]:0"},
		{name: "IPv6 in brackets", xff: "[2001:db8::1]", want: "[2001:db8::1]:0"},
		{name: "IPv6 with a port", xff: "[2001:db8::1]:77", want: "[2001:db8::1]:77"},
		{name: "IPv6 of a proxy, with a zone", remote: "[fd00::1%eth0]:4000", xff: "2001:db8::1", want: "[2001:db8::1]:0"},
		{name: "IPv4 in IPv6", remote: "[::ffff:10.0.0.1]:4000", xff: "::ffff:192.0.2.1", want: "192.0.2.1:0"},
		{name: "two lines", xff: "1.1.1.1\n192.0.2.1", want: "192.0.2.1:0"},

		{name: "Forwarded", forwarded: "for=192.0.2.1", want: "192.0.2.1:0"},
		{name: "Forwarded, all of it", forwarded: `For="192.0.2.1:77";Proto=https;by=10.0.0.1;host="a,b;c"`, want: "192.0.2.1:77"},
		{name: "Forwarded, IPv6", forwarded: `proto=http; for="[2001:db8:cafe::17]:4711"`, want: "[2001:db8:cafe::17]:4711"},
		{name: "Forwarded, two hops", forwarded: "for=1.1.1.1, for=192.0.2.1;proto=http , for=10.5.5.5", want: "192.0.2.1:0"},
		{name: "Forwarded, hidden", forwarded: "for=192.0.2.1, for=_hidden", want: proxy},
		{name: "Forwarded, a hidden port", forwarded: `for="192.0.2.1:_x"`, want: "192.0.2.1:0"},
		{name: "Forwarded for nobody", forwarded: "for=192.0.2.1, proto=http", want: proxy},
		{name: "Forwarded, quotes that are quoted", forwarded: `for="\",for=1.1.1.1", for=192.0.2.1`, want: "192.0.2.1:0"},
		{name: "Forwarded, an open quote", forwarded: `for="1.1.1.1, for=192.0.2.1`, want: proxy},
		{name: "Forwarded twice", forwarded: "for=1.1.1.1;for=192.0.2.1", want: proxy},

		{name: "both agree", xff: "192.0.2.1", forwarded: "for=192.0.2.1", want: "192.0.2.1:0"},
		{name: "both agree about the last", xff: "1.1.1.1, 192.0.2.1", forwarded: "for=2.2.2.2,for=192.0.2.1", want: "192.0.2.1:0"},
		{name: "a client's Forwarded was passed on", xff: "192.0.2.1", forwarded: "for=1.1.1.1", want: proxy},
		{name: "malformed, beside the other", xff: "192.0.2.1", forwarded: `for="`, want: proxy},

		{name: "a trusted address that a stranger invents", xff: "10.0.0.9, 203.0.113.9", want: "203.0.113.9:0"},
		{name: "the proxy's own address, invented", xff: "10.0.0.1, 10.0.0.1, 203.0.113.9", want: "203.0.113.9:0"},
		{name: "localhost, invented", xff: "127.0.0.1, 203.0.113.9", want: "203.0.113.9:0"},
		{name: "a thousand hops, invented", xff: strings.Repeat("1.1.1.1, ", 1000) + "203.0.113.9", want: "203.0.113.9:0"},
		{name: "a thousand proxies", xff: "203.0.113.9" + strings.Repeat(", 10.0.0.2", 1000), want: "203.0.113.9:0"},
		{name: "a thousand lines", xff: strings.Repeat("1.1.1.1\n", 1000) + "203.0.113.9", want: "203.0.113.9:0"},
		{name: "rubbish at the end", xff: "203.0.113.9, <script>", want: proxy},
		{name: "a name", xff: "203.0.113.9, evil.example", want: proxy},
		{name: "a number", xff: "3405803785", want: proxy},
		{name: "an octal address", xff: "0203.0.113.9", want: proxy},
		{name: "half an address", xff: "203.0.113", want: proxy},
		{name: "a port that is too large", xff: "203.0.113.9:65536", want: proxy},
		{name: "a port below nothing", xff: "203.0.113.9:-1", want: proxy},
		{name: "two ports", xff: "203.0.113.9:1:2", want: proxy},
		{name: "an escape for a terminal", xff: "203.0.113.9\x1b[2J", want: proxy},
		{name: "spaces within", xff: "203. 0.113.9", want: proxy},
		{name: "another separator", xff: "1.1.1.1;203.0.113.9", want: proxy},
		{name: "a trusted network is no trusted address", xff: "1.1.1.1, 11.0.0.1", want: "11.0.0.1:0"},
		{name: "IPv4 in IPv6, in hexadecimal", xff: "::ffff:cb00:7109", want: "203.0.113.9:0"},
		{name: "a trusted one in IPv6", xff: "203.0.113.9, ::ffff:10.0.0.7", want: "203.0.113.9:0"},
		{name: "Forwarded, a trusted address invented", forwarded: "for=10.0.0.9, for=203.0.113.9", want: "203.0.113.9:0"},
		{name: "Forwarded, a hop within quotes", forwarded: `for=203.0.113.9;host="x, for=1.1.1.1"`, want: "203.0.113.9:0"},
		{name: "Forwarded, a quote that a stranger opens", forwarded: "for=\"x, for=203.0.113.9", want: proxy},
		{name: "Forwarded, a quote that a stranger opens and a proxy closes", forwarded: `for="x, for="203.0.113.9"`, want: proxy},
		{name: "Forwarded, an escape at the end", forwarded: `for="203.0.113.9\`, want: proxy},
		{name: "Forwarded, escapes in an address", forwarded: `for="203\.0.113.9"`, want: proxy},
		{name: "Forwarded, in capitals", forwarded: "FOR=203.0.113.9", want: "203.0.113.9:0"},
		{name: "Forwarded, IPv6 without quotes or brackets", forwarded: "for=2001:db8::9", want: "[2001:db8::9]:0"},
		{name: "Forwarded, for no one", forwarded: "for=", want: proxy},
		{name: "Forwarded, empty", forwarded: ";;,,;", want: proxy},
		{name: "Forwarded, another field", forwarded: "by=203.0.113.9;afor=1.1.1.1", want: proxy},
		{name: "other fields do not count", want: proxy},

		{name: "a Unix socket", remote: "@", xff: "192.0.2.1", want: "192.0.2.1:0"},
		{name: "an address without a port", remote: "10.0.0.1", xff: "192.0.2.1", want: "192.0.2.1:0"},
		{name: "an address that is none", remote: "somebody", xff: "192.0.2.1", want: "invalid AddrPort"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: c.remote, Header: http.Header{}}
			if c.remote == "" {
				r.RemoteAddr = proxy
			}
			if c.remote == "@" {
				r = r.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, &net.UnixAddr{Net: "unix"}))
			}
			if c.xff != "" {
				r.Header["X-Forwarded-For"] = strings.Split(c.xff, "\n")
			}
			if c.forwarded != "" {
				r.Header["Forwarded"] = []string{c.forwarded}
			}
			if c.trust == nil {
				c.trust = trusted
			}
			r.Header.Set("X-Real-Ip", "1.1.1.1")
			r.Header.Set("Cf-Connecting-Ip", "1.1.1.1")
			r.Header.Set("X-Forwarded", "1.1.1.1")
			if got := transport.ClientAddr(r, c.trust).String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// FuzzClientAddr: whatever stands in the fields, the client is the peer, or an
// address that one of them names; and what stands in front of the address that a
// trusted proxy has added changes nothing, except that it may not be believed.
func FuzzClientAddr(f *testing.F) {
	f.Add("1.1.1.1, 192.0.2.1", "for=1.1.1.1;by=\"x\", for=\"[::1]:9\"")
	f.Add("unknown", `for="\"`)
	f.Add("[fe80::1%eth0]:1\n::ffff:1.2.3.4", `for=_x, for="1.2.3.4:_y"`)
	f.Fuzz(func(t *testing.T, xff, forwarded string) {
		proxy := netip.MustParseAddrPort("10.0.0.1:1")
		ask := func(remote, xff, forwarded string, trusted ...string) netip.AddrPort {
			r := &http.Request{RemoteAddr: remote, Header: http.Header{}}
			for field, s := range map[string]string{"X-Forwarded-For": xff, "Forwarded": forwarded} {
				if s != "" {
					r.Header[field] = strings.Split(s, "\n")
				}
			}
			var prefixes []netip.Prefix
			for _, p := range trusted {
				prefixes = append(prefixes, netip.MustParsePrefix(p))
			}
			return transport.ClientAddr(r, prefixes)
		}
		named := map[netip.Addr]bool{proxy.Addr(): true}
		for _, s := range regexp.MustCompile("[0-9a-fA-F:.]+").FindAllString(xff+" "+forwarded, -1) {
			a, _ := netip.ParseAddr(s)
			b, _ := netip.ParseAddr(s[:max(0, strings.LastIndex(s, ":"))])
			named[a.Unmap()], named[b.Unmap()] = true, true
		}
		for _, trusted := range [][]string{{"10.0.0.0/8"}, {"0.0.0.0/0", "::/0"}} {
			got := ask("10.0.0.1:1", xff, forwarded, trusted...)
			if !got.IsValid() || got.Addr().Zone() != "" || got.Addr().Is4In6() || !named[got.Addr()] {
				t.Fatal(got)
			}
			if ask(got.String(), "", "") != got {
				t.Fatalf("%v does not survive its text", got)
			}
		}
		if got := ask("192.0.2.9:7", xff, forwarded, "10.0.0.0/8"); got.String() != "192.0.2.9:7" {
			t.Errorf("%v, and the peer is nobody's proxy", got)
		}
		client := netip.MustParseAddrPort("192.0.2.1:0")
		if got := ask("10.0.0.1:1", xff+",192.0.2.1", "", "10.0.0.0/8"); got != client {
			t.Errorf("%v behind %q", got, xff)
		}
		if got := ask("10.0.0.1:1", "", forwarded+",for=192.0.2.1", "10.0.0.0/8"); got != client && got != proxy {
			t.Errorf("%v behind %q", got, forwarded)
		}
		if got := ask("10.0.0.1:1", xff, forwarded+",for=192.0.2.1", "10.0.0.0/8"); got != client && got != proxy {
			t.Errorf("%v behind %q and %q", got, xff, forwarded)
		}
	})
}
