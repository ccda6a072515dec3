package transport_test

import (
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

// FuzzOrigin lets pages of any origin ask, with any patterns. Who is allowed is of
// the same host or matches a pattern that CheckOriginPatterns takes; who is of
// another host and matches none never is; and no spelling of an origin that browsers
// do not use gets further than theirs.
func FuzzOrigin(f *testing.F) {
	for _, s := range [][5]string{
		{"https://example.com", "", "", "example.com", ""},
		{"https://EXAMPLE.com:443", "", "", "example.com:443", "*.com:*"},
		{"null", "", "", "example.com", "null"},
		{"https://evil@example.com", "", "", "example.com", ""},
		{"https://example.com@evil.com", "", "", "example.com", "https://*.example.com"},
		{"https://evil.com/example.com", "", "", "example.com", "http*://evil.[a-d]om"},
		{"", "https://example.com/page?x", "same-site", "example.com", "[\n*"},
		{"", "https://evil.com/", "cross-site", "example.com", "evil.*\nexample.com"},
		{"http://[::1]:80", "", "", "[::1]:80", "[::1]:80"},
		{"https://evil.com\\.example.com", "", "", "example.com", "*.example.com"},
		{"https://a%2eexample.com", "", "", "a.example.com", "*.example.com"},
	} {
		f.Add(s[0], s[1], s[2], s[3], s[4])
	}
	f.Fuzz(func(t *testing.T, origin, referer, site, host, patterns string) {
		r := &http.Request{Method: "GET", Host: host, Header: http.Header{}}
		for k, v := range map[string]string{"Origin": origin, "Referer": referer, "Sec-Fetch-Site": site} {
			if v != "" {
				r.Header[k] = []string{v}
			}
		}
		var list []string
		for p := range strings.SplitSeq(patterns, "\n") {
			if p != "" && transport.CheckOriginPatterns([]string{p}) == nil {
				list = append(list, p)
			}
		}
		plain, matched := transport.OriginAllowed(r, nil), transport.OriginAllowed(r, list)
		if plain && !matched {
			t.Errorf("%q allowed, but not with %q", r.Header, list)
		}
		if all := transport.OriginAllowed(r, append(list, "*")); matched && !all {
			t.Errorf("%q allowed with %q, but not with any", r.Header, list)
		}
		if !transport.OriginAllowed(&http.Request{Host: host, Header: http.Header{}}, nil) {
			t.Error("who is no browser is not allowed")
		}
		if origin == "" {
			return
		}
		r.Header["Origin"] = []string{origin, origin}
		if transport.OriginAllowed(r, append(list, "*")) {
			t.Errorf("twice %q allowed", origin)
		}
		scheme, rest, ok := strings.Cut(strings.ToLower(origin), "://")
		want := strings.ToLower(host) == rest
		for _, p := range list {
			p = strings.ToLower(p)
			if p == "*" || p == "null" && strings.ToLower(origin) == "null" {
				want = true
			}
			of, name, two := strings.Cut(p, "://")
			if !two {
				of, name = "*", p
			}
			a, _ := path.Match(of, scheme)
			b, _ := path.Match(name, rest)
			want = want || a && (b || name == rest)
		}
		// Where the origin is one as browsers write it, the verdict follows.
		if ok && serialised(scheme, rest) && want != matched {
			t.Errorf("%q to %q with %q: %v", origin, host, list, matched)
		}
		if matched && !want && !strings.ContainsAny(rest, "/?#%") {
			t.Errorf("%q to %q with %q is allowed", origin, host, list)
		}
	})
}

// serialised tells whether a browser may have written an origin (RFC 6454 §6.2).
func serialised(scheme, host string) bool {
	name, port, _ := strings.Cut(host, ":")
	return scheme != "" && name != "" && strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz") == "" &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" && strings.Trim(port, "0123456789") == ""
}
