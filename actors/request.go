package actors

import (
	"bufio"
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unique"
)

// requestRest is what of a request does not follow from the channel's origin. Nil
// for most channels once they are open.
type requestRest struct {
	whole  *http.Request        // until Open has returned; then the rest has to do
	head   string               // "": a plain GET, and no header is kept
	paths  []string             // names and values of path parameters, in turn
	tls    *tls.ConnectionState //
	ctx    context.Context      // of the application; nil if only net/http's own
	target *requestTarget       // nil: the one of the head
}

// requestTarget is what a request is for, where parsing it anew would not tell: an
// absolute URL, "*", or one that middleware has changed.
type requestTarget struct {
	uri string
	url url.URL
}

// oddTarget is nil for a path with a query that is as the client has sent it.
func (c *Channel) oddTarget(r *http.Request) *requestTarget {
	u := r.URL
	plain := url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, ForceQuery: u.ForceQuery}
	if *u == plain && strings.HasPrefix(u.Path, "/") && r.RequestURI == u.RequestURI() && r.RequestURI == c.origin.uri() {
		return nil
	}
	return &requestTarget{r.RequestURI, *u}
}

// Request is the request that made the channel, with its path values and the
// values that the application put into its context; it has no body, and its
// context does not end. Once Open has returned, of its header there are only the
// fields that [Options].KeepHeader names, and Last-Event-ID; each call may then
// return another copy. Nil: the channel was made without one.
func (c *Channel) Request() *http.Request {
	rest := c.request.Load()
	switch {
	case rest != nil && rest.whole != nil:
		return rest.whole
	case c.origin.host == unique.Handle[string]{}:
		return nil
	default:
		return c.restoreRequest(rest)
	}
}

// setRequest keeps r for as long as Open runs.
func (c *Channel) setRequest(r *http.Request) {
	ctx := context.Background()
	if !serversOwn(r.Context()) {
		ctx = context.WithoutCancel(r.Context())
	}
	kept := r.WithContext(ctx)
	kept.TransferEncoding, kept.Trailer = nil, nil
	kept.Body = http.NoBody
	kept.ContentLength = 0
	c.request.Store(&requestRest{whole: kept})
}

// serversOwn reports whether nobody but net/http has put anything into a
// request's context: then keeping it would only keep the connection's past.
func serversOwn(ctx context.Context) bool {
	srv, ok := ctx.Value(http.ServerContextKey).(*http.Server)
	return ok && srv.BaseContext == nil && srv.ConnContext == nil && reflect.TypeOf(ctx) == plainContext
}

// plainContext is the type of the context net/http gives a request; one that
// middleware has added a value to has another.
var plainContext = func() reflect.Type {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return reflect.TypeOf(ctx)
}()

// packRequest exchanges the request for what is kept of it.
func (c *Channel) packRequest() {
	if rest := c.request.Load(); rest != nil && rest.whole != nil {
		c.request.Store(c.restOf(rest.whole))
	}
}

func (c *Channel) restOf(r *http.Request) *requestRest {
	rest := requestRest{tls: r.TLS, target: c.oddTarget(r)}
	header := keptHeader(r.Header, c.ep.opts.KeepHeader)
	if r.Method != http.MethodGet || r.Proto != "HTTP/1.1" || r.Host != c.origin.host.Value() || header != nil {
		var b strings.Builder
		c.writeHead(&b, r.Method, r.Proto, r.Host, rest.target == nil)
		_ = header.Write(&b) // a Builder does not fail
		b.WriteString("\r\n")
		rest.head = strings.Clone(b.String())
	}
	if r.Context() != context.Background() {
		rest.ctx = r.Context()
	}
	for pattern := r.Pattern; ; {
		_, after, ok := strings.Cut(pattern, "{")
		if !ok {
			break
		}
		name, behind, _ := strings.Cut(after, "}")
		if name = strings.TrimSuffix(name, "..."); name != "$" && name != "" {
			rest.paths = append(rest.paths, name, r.PathValue(name))
		}
		pattern = behind
	}
	if rest.head == "" && rest.tls == nil && rest.ctx == nil && rest.paths == nil && rest.target == nil {
		return nil
	}
	return &rest
}

// keptHeader is what the application asked for, and what its own API needs.
func keptHeader(h http.Header, names []string) http.Header {
	if slices.Contains(names, "*") {
		return h
	}
	var kept http.Header
	keep := func(name string) {
		if values := h.Values(name); len(values) > 0 {
			if kept == nil {
				kept = http.Header{}
			}
			kept[http.CanonicalHeaderKey(name)] = values
		}
	}
	keep(lastEventID)
	for _, name := range names {
		keep(name)
	}
	return kept
}

const lastEventID = "Last-Event-Id"

// writeHead begins a head as net/http would read it.
func (c *Channel) writeHead(b *strings.Builder, method, proto, host string, plain bool) {
	uri := "/"
	if plain {
		uri = c.origin.uri()
	}
	b.WriteString(method + " " + uri + " " + proto + "\r\nHost: " + host + "\r\n")
}

func (c *Channel) restoreRequest(rest *requestRest) *http.Request {
	if rest == nil {
		rest = &requestRest{}
	}
	head := rest.head
	if head == "" {
		var b strings.Builder
		c.writeHead(&b, http.MethodGet, "HTTP/1.1", c.origin.host.Value(), rest.target == nil)
		b.WriteString("\r\n")
		head = b.String()
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
	if err != nil {
		// The head was written from a request that had been parsed.
		r = &http.Request{URL: &url.URL{Path: "/"}, Header: http.Header{}}
	}
	r.Body, r.RemoteAddr = http.NoBody, c.origin.remote()
	r.ContentLength, r.TransferEncoding = 0, nil
	if rest.ctx != nil {
		r = r.WithContext(rest.ctx)
	}
	r.TLS = rest.tls
	if t := rest.target; t != nil {
		u := t.url
		r.RequestURI, r.URL = t.uri, &u
	}
	for i := 0; i < len(rest.paths); i += 2 {
		r.SetPathValue(rest.paths[i], rest.paths[i+1])
	}
	return r
}
