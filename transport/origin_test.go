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
