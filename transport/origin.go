package transport

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// OriginAllowed tells whether a page of the request's Origin may open this
// connection. It may when there is no Origin (not a browser), when the Origin's
// host is the host the request was sent to, or when a pattern matches.
//
// A pattern is matched by path.Match against the Origin's host with its port, as
// the browser sent it, or against scheme://host when it contains "://". Case
// does not matter. "*" allows every Origin. The opaque Origin "null" is refused
// unless a pattern is "null" or "*". A pattern that CheckOriginPatterns refuses
// matches nothing.
func OriginAllowed(r *http.Request, patterns []string) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 {
		return false // RFC 6454 §7.3: at most one; which one a proxy looked at is anybody's guess
	}
	origin := strings.ToLower(origins[0])
	if origin == "null" {
		for _, p := range patterns {
			if p == "*" || p == "null" {
				return true
			}
		}
		return false
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil {
		return false
	}
	if strings.EqualFold(u.Host, r.Host) {
		return true
	}
	for _, p := range patterns {
		p = strings.ToLower(p)
		if p == "*" {
			return true
		}
		subject := u.Host
		if scheme, host, ok := strings.Cut(p, "://"); ok {
			// Compared apart: path.Match treats a slash as special.
			if m, err := path.Match(scheme, u.Scheme); err != nil || !m {
				continue
			}
			p = host
		}
		if m, err := path.Match(p, subject); err == nil && m {
			return true
		}
	}
	return false
}

// CheckOriginPatterns says which of the patterns can never match, so that the
// mistake is found when an endpoint is made.
func CheckOriginPatterns(patterns []string) error {
	for i, p := range patterns {
		host := p
		if scheme, rest, ok := strings.Cut(p, "://"); ok {
			if _, err := path.Match(scheme, ""); err != nil || scheme == "" {
				return fmt.Errorf("transport: origin pattern %d (%q): malformed scheme", i, p)
			}
			host = rest
		}
		if _, err := path.Match(host, ""); err != nil {
			return fmt.Errorf("transport: origin pattern %d (%q): %w", i, p, err)
		}
		if host == "" || strings.Contains(host, "/") {
			return fmt.Errorf("transport: origin pattern %d (%q): want host, host:port or scheme://host, without a path", i, p)
		}
	}
	return nil
}
