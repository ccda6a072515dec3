package transport

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// OriginAllowed tells whether a page of the request's Origin may open this
// connection. It may when the Origin's host is the host the request was sent to,
// or when a pattern matches.
//
// A pattern is matched by path.Match against the Origin's host with its port, as
// the browser sent it (in ASCII: "xn--..."), or against scheme://host when it
// contains "://". Case does not matter. An IPv6 address is written in its brackets
// and without wildcards. "*" allows every Origin that has a host. The opaque Origin
// "null" is refused unless a pattern is "null" or "*". A pattern that CheckOriginPatterns refuses
// matches nothing.
//
// Browsers leave the Origin out where they do not take a request for a page's own
// (images, scripts, frames). Then Sec-Fetch-Site decides, if it says that the
// request is of the same origin or of the user, else the origin of the Referer,
// which counts as "null" if only Sec-Fetch-Site is there. A link that the user has
// followed (a GET, Sec-Fetch-Mode navigate to a document) is no connection of the
// page it was on. Who sends none of these is no browser and is allowed.
func OriginAllowed(r *http.Request, patterns []string) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return refererAllowed(r, patterns)
	}
	// RFC 6454 §7.3: at most one; which one a proxy looked at is anybody's guess.
	return len(origins) == 1 && originMatches(origins[0], r.Host, patterns)
}

func refererAllowed(r *http.Request, patterns []string) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if site == "same-origin" || site == "none" || site != "" && isNavigation(r) {
		return true
	}
	switch referers := r.Header["Referer"]; len(referers) {
	case 0:
		return site == "" || originMatches("null", r.Host, patterns)
	case 1:
		u, err := url.Parse(referers[0])
		return err == nil && originMatches(u.Scheme+"://"+u.Host, r.Host, patterns)
	}
	return false
}

func isNavigation(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

func originMatches(origin, host string, patterns []string) bool {
	if plainlySame(origin, host) {
		return true
	}
	if strings.ContainsFunc(origin, notASCII) { // which may become ASCII in lower case
		return false
	}
	origin = strings.ToLower(origin)
	if origin == "null" {
		return slices.Contains(patterns, "*") || slices.Contains(patterns, "null")
	}
	u, err := url.Parse(origin)
	// RFC 6454 §6.2: scheme, host and port in ASCII, and nothing else.
	if err != nil || u.Scheme == "" || u.Host == "" || origin != u.Scheme+"://"+u.Host {
		return false
	}
	return strings.EqualFold(u.Host, host) || slices.ContainsFunc(patterns, func(p string) bool {
		p = strings.ToLower(p)
		if p == "*" {
			return true
		}
		if scheme, rest, ok := strings.Cut(p, "://"); ok {
			// Compared apart: path.Match treats a slash as special.
			if m, err := path.Match(scheme, u.Scheme); err != nil || !m {
				return false
			}
			p = rest
		}
		m, err := path.Match(p, u.Host)
		return err == nil && m || p == u.Host // with the brackets of an IPv6 address
	})
}

// plainlySame sees that a page is of the host without parsing its Origin, if that
// is as nearly all are: a name in letters, digits, dots and hyphens, and a port or none.
func plainlySame(origin, host string) bool {
	scheme, authority, _ := strings.Cut(origin, "://")
	if scheme != "https" && scheme != "http" || !equalFold(host, authority) {
		return false
	}
	name, port, _ := strings.Cut(authority, ":")
	for i := range len(name) {
		switch c := name[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '.', c == '-':
		default:
			return false
		}
	}
	return name != "" && strings.Trim(port, "0123456789") == ""
}

func notASCII(r rune) bool { return r <= ' ' || r >= 0x7f }

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
