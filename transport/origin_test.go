package transport_test

import (
	"net/http"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

func TestOrigin(t *testing.T) {
	for _, c := range []struct {
		origin   []string
		patterns []string
		want     bool
	}{
		{origin: nil, want: true},
		{origin: []string{"https://Example.com"}, want: true},
		{origin: []string{"http://example.com:8080"}, want: false},
		{origin: []string{"https://evil.com"}, want: false},
		{origin: []string{"https://example.com.evil.com"}, want: false},
		{origin: []string{"https://example.com@evil.com"}, want: false},
		{origin: []string{"https://example.com", "https://example.com"}, want: false},
		{origin: []string{"null"}, want: false},
		{origin: []string{""}, want: false},
		{origin: []string{"null"}, patterns: []string{"null"}, want: true},
		{origin: []string{"null"}, patterns: []string{"*"}, want: true},
		{origin: []string{"null"}, patterns: []string{"n*"}, want: false},
		{origin: []string{"https://a.troupe.dev"}, patterns: []string{"*.Troupe.dev"}, want: true},
		{origin: []string{"https://troupe.dev.evil.com"}, patterns: []string{"*.troupe.dev", "troupe.dev"}, want: false},
		{origin: []string{"https://a.troupe.dev:444"}, patterns: []string{"*.troupe.dev"}, want: false},
		{origin: []string{"https://a.troupe.dev"}, patterns: []string{"https://*.troupe.dev"}, want: true},
		{origin: []string{"http://a.troupe.dev"}, patterns: []string{"https://*.troupe.dev"}, want: false},
		{origin: []string{"https://any.where"}, patterns: []string{"*"}, want: true},
		{origin: []string{"https://a"}, patterns: []string{"[", "a"}, want: true},
	} {
		r := upgradeRequest()
		if c.origin != nil {
			r.Header["Origin"] = c.origin
		}
		if got := transport.OriginAllowed(r, c.patterns); got != c.want {
			t.Errorf("%q with %q: %v", c.origin, c.patterns, got)
		}
	}
	if err := transport.CheckOriginPatterns([]string{"*", "null", "*.a.dev", "https://a:8080"}); err != nil {
		t.Error(err)
	}
	for _, p := range []string{"", "[", "https://", "https://a/b", "a/b"} {
		if transport.CheckOriginPatterns([]string{p}) == nil {
			t.Errorf("pattern %q passed", p)
		}
	}
}

// What a hostile page, or a careless pattern, could hope for.
func TestHostileOrigins(t *testing.T) {
	for _, c := range []struct {
		name     string
		host     string // default example.com
		origin   []string
		patterns []string
		want     bool
	}{
		// The same host.
		{name: "it", origin: []string{"https://example.com"}, want: true},
		{name: "it, in capitals", origin: []string{"HTTPS://EXAMPLE.COM"}, want: true},
		{name: "with its port", host: "example.com:8443", origin: []string{"https://example.com:8443"}, want: true},
		{name: "IPv6", host: "[2001:db8::1]:8080", origin: []string{"http://[2001:DB8::1]:8080"}, want: true},
		{name: "IPv6, another port", host: "[2001:db8::1]:8080", origin: []string{"http://[2001:db8::1]:8081"}},
		{name: "IPv6, another address", host: "[::1]", origin: []string{"http://[::2]"}},
		{name: "IPv6 with a zone", host: "[fe80::1]", origin: []string{"http://[fe80::1%25eth0]"}},
		{name: "IPv6 without brackets", host: "[::1]", origin: []string{"http://::1"}},
		{name: "another port", origin: []string{"https://example.com:444"}},
		{name: "an empty port", origin: []string{"https://example.com:"}},
		{name: "a port that is none", origin: []string{"https://example.com:evil"}},
		{name: "a port that is none, of our host, too", host: "example.com:evil", origin: []string{"https://example.com:evil"}},
		{name: "a user, of our host, too", host: "evil@example.com", origin: []string{"https://evil@example.com"}},
		{name: "a path, of our host, too", host: "example.com/", origin: []string{"https://example.com/"}},
		{name: "nothing", origin: []string{""}},
		{name: "longer at the end", origin: []string{"https://example.com.evil.com"}},
		{name: "longer in front", origin: []string{"https://evilexample.com"}},
		{name: "a subdomain", origin: []string{"https://a.example.com"}},
		{name: "the parent", host: "a.example.com", origin: []string{"https://example.com"}},
		{name: "a dot at the end", origin: []string{"https://example.com."}},
		{name: "a dot in front", origin: []string{"https://.example.com"}},
		{name: "a user", origin: []string{"https://example.com@evil.com"}},
		{name: "a user, and our host", origin: []string{"https://evil@example.com"}},
		{name: "a backslash", origin: []string{`https://example.com\@evil.com`}},
		{name: "a path", origin: []string{"https://example.com/"}},
		{name: "our host in a path", origin: []string{"https://evil.com/example.com"}},
		{name: "a query", origin: []string{"https://example.com?x"}},
		{name: "a fragment", origin: []string{"https://example.com#x"}},
		{name: "our host in a fragment", origin: []string{"https://evil.com#example.com"}},
		{name: "no scheme", origin: []string{"//example.com"}},
		{name: "no slashes", origin: []string{"https:example.com"}},
		{name: "a host alone", origin: []string{"example.com"}},
		{name: "spaces around", origin: []string{" https://example.com "}},
		{name: "a tab within", origin: []string{"https://exam\tple.com"}},
		{name: "a zero byte", origin: []string{"https://example.com\x00.evil.com"}},
		{name: "escaped", origin: []string{"https://ex%61mple.com"}},
		{name: "an escaped slash", origin: []string{"https://example.com%2f.evil.com"}},
		{name: "letters that look alike", origin: []string{"https://ex\u0430mple.com"}},
		{name: "a letter that folds to ours", host: "kiwi.com", origin: []string{"https://\u212aiwi.com"}},
		{name: "a letter that folds to ours, in a pattern", origin: []string{"https://\u212aiwi.com"}, patterns: []string{"kiwi.com"}},
		{name: "bytes that are no text", origin: []string{"https://example.com\xff"}},
		{name: "two in one", origin: []string{"https://example.com https://evil.com"}},
		{name: "two with a comma", origin: []string{"https://example.com, https://evil.com"}},
		{name: "two, ours first", origin: []string{"https://example.com", "https://evil.com"}},
		{name: "two, any", origin: []string{"https://example.com", "https://evil.com"}, patterns: []string{"*"}},
		{name: "null, in capitals", origin: []string{"NULL"}},
		{name: "null and a host", host: "null", origin: []string{"null"}},
		{name: "a host called null", origin: []string{"https://null"}, patterns: []string{"null"}, want: true},
		{name: "a file", origin: []string{"file://"}},
		{name: "a script", origin: []string{"javascript:alert(1)//example.com"}},
		{name: "data", origin: []string{"data:text/html,example.com"}},

		// Patterns.
		{name: "punycode", origin: []string{"https://xn--e1afmkfd.com"}, patterns: []string{"xn--e1afmkfd.com"}, want: true},
		{name: "punycode of another", origin: []string{"https://xn--e1afmkfd.com.evil.com"}, patterns: []string{"xn--e1afmkfd.com"}},
		{name: "a subdomain of a subdomain", origin: []string{"https://a.b.example.org"}, patterns: []string{"*.example.org"}, want: true},
		{name: "the bare domain", origin: []string{"https://example.org"}, patterns: []string{"*.example.org"}},
		{name: "an end that fits by luck", origin: []string{"https://evilexample.org"}, patterns: []string{"*.example.org"}},
		{name: "a dot behind", origin: []string{"https://a.example.org."}, patterns: []string{"*.example.org"}},
		{name: "a port behind", origin: []string{"https://a.example.org:1"}, patterns: []string{"*.example.org"}},
		{name: "a port of any number", origin: []string{"http://localhost:3000"}, patterns: []string{"localhost:*"}, want: true},
		{name: "a port that goes on", origin: []string{"http://localhost:3000.evil.com"}, patterns: []string{"localhost:*"}},
		{name: "a user in front", origin: []string{"https://a.example.org@evil.com"}, patterns: []string{"*.example.org"}},
		{name: "a slash within", origin: []string{"https://evil.com/.example.org"}, patterns: []string{"*.example.org"}},
		{name: "another scheme", origin: []string{"http://a.example.org"}, patterns: []string{"https://*.example.org"}},
		{name: "a scheme that goes on", origin: []string{"https-evil://a.example.org"}, patterns: []string{"https://*.example.org"}},
		{name: "an IPv6 address", origin: []string{"http://[2001:db8::7]:3000"}, patterns: []string{"http://[2001:DB8::7]:3000"}, want: true},
		{name: "one of its digits", origin: []string{"http://7:3000"}, patterns: []string{"localhost", "[::1]"}},
		{name: "a star does not make null", origin: []string{"null"}, patterns: []string{"*.com", "n*l"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := upgradeRequest()
			r.Header["Origin"] = c.origin
			if c.host != "" {
				r.Host = c.host
			}
			if got := transport.OriginAllowed(r, c.patterns); got != c.want {
				t.Errorf("%q at %s with %q: %v", c.origin, r.Host, c.patterns, got)
			}
		})
	}
}

// Without an Origin a browser gives itself away by other fields.
func TestOriginWithoutOne(t *testing.T) {
	const other, same = "https://evil.com/page?q", "https://example.com/chat"
	for _, c := range []struct {
		name     string
		method   string // default GET
		header   map[string]string
		patterns []string
		want     bool
	}{
		{name: "no browser", want: true},
		{name: "same host", header: map[string]string{"Referer": same}, want: true},
		{name: "another host", header: map[string]string{"Referer": other}},
		{name: "another host that looks alike", header: map[string]string{"Referer": "https://example.com.evil.com/"}},
		{name: "a host in the user's place", header: map[string]string{"Referer": "https://example.com@evil.com/"}},
		{name: "our host in its path", header: map[string]string{"Referer": "https://evil.com/https://example.com/"}},
		{name: "no URL", header: map[string]string{"Referer": "://"}},
		{name: "no host", header: map[string]string{"Referer": "about:blank"}},
		{name: "empty", header: map[string]string{"Referer": ""}},
		{name: "a pattern", header: map[string]string{"Referer": other}, patterns: []string{"*.com"}, want: true},
		{name: "a pattern with another scheme", header: map[string]string{"Referer": other}, patterns: []string{"http://evil.com"}},
		{name: "any", header: map[string]string{"Referer": "about:blank"}, patterns: []string{"*"}},

		{name: "of the same origin", header: map[string]string{"Sec-Fetch-Site": "same-origin"}, want: true},
		{name: "of the user", header: map[string]string{"Sec-Fetch-Site": "none"}, want: true},
		{name: "of another site", header: map[string]string{"Sec-Fetch-Site": "cross-site"}},
		{name: "of a sister", header: map[string]string{"Sec-Fetch-Site": "same-site"}},
		{name: "of whom?", header: map[string]string{"Sec-Fetch-Site": "?"}},
		{name: "of another site, any", header: map[string]string{"Sec-Fetch-Site": "cross-site"}, patterns: []string{"*"}, want: true},
		{
			name: "of another site, a pattern", patterns: []string{"evil.com"},
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Referer": other}, want: true,
		},
		{
			name:   "of another site, with another's referer",
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Referer": other},
		},
		{
			name: "a link that was followed",
			header: map[string]string{
				"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Referer": other,
			},
			want: true,
		},
		{
			name:   "a frame",
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
		},
		{
			name: "a form", method: "POST",
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
		},
		{
			name:   "an image",
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := upgradeRequest()
			if c.method != "" {
				r.Method = c.method
			}
			for k, v := range c.header {
				r.Header.Set(k, v)
			}
			if got := transport.OriginAllowed(r, c.patterns); got != c.want {
				t.Errorf("with %q: %v", c.patterns, got)
			}
		})
	}
	r := upgradeRequest()
	r.Header["Referer"] = []string{same, same}
	if transport.OriginAllowed(r, nil) {
		t.Error("two referers")
	}
	r = upgradeRequest()
	r.Header = http.Header{"Origin": {"https://evil.com"}, "Sec-Fetch-Site": {"same-origin"}, "Referer": {same}}
	if transport.OriginAllowed(r, nil) {
		t.Error("an Origin comes first")
	}
}
