package actors

import (
	"bufio"
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"reflect"
	"strings"
)

// requestRecord is a request as it is kept with an open channel: the bytes of
// its head, which are a fraction of what an http.Request takes, and what the
// head does not say.
type requestRecord struct {
	text  string // the head (none yet while there is whole), and behind its empty line the peer's address
	extra *requestExtra
	whole *http.Request // until Open has returned; then the text has to do
}

// requestExtra is what most requests have nothing of.
type requestExtra struct {
	paths  []string // names and values of path parameters, in turn
	tls    *tls.ConnectionState
	ctx    context.Context // of the application; nil if only net/http's own
	target *requestTarget  // nil: the one of the head
}

// requestTarget is what a request is for, where parsing it anew would not tell: an
// absolute URL, "*", or one that middleware has changed.
type requestTarget struct {
	uri string
	url url.URL
}

// oddTarget is nil for a path with a query that is as the client has sent it.
func oddTarget(r *http.Request) *requestTarget {
	u := r.URL
	plain := url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, ForceQuery: u.ForceQuery}
	if *u == plain && strings.HasPrefix(u.Path, "/") && r.RequestURI == u.RequestURI() {
		return nil
	}
	return &requestTarget{r.RequestURI, *u}
}

// Request is the request that made the channel, with its header, its path
// values, and the values that the application put into its context; it has no
// body, and its context does not end. Each call after Open may return another copy.
func (c *Channel) Request() *http.Request {
	switch rec := c.request.Load(); {
	case rec == nil:
		return nil
	case rec.whole != nil:
		return rec.whole
	default:
		return rec.restore()
	}
}

func (c *Channel) remote() string {
	rec := c.request.Load()
	if rec == nil {
		return ""
	}
	_, remote, _ := strings.Cut(rec.text, endOfHead)
	return remote
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
	// The address is what was counted for MaxPerIP: the application may write into
	// the request.
	c.request.Store(&requestRecord{whole: kept, text: endOfHead + r.RemoteAddr})
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

// packRequest exchanges the request for its record.
func (c *Channel) packRequest() {
	if rec := c.request.Load(); rec != nil && rec.whole != nil {
		c.request.Store(record(rec.whole, c.remote()))
	}
}

const endOfHead = "\r\n\r\n"

func record(r *http.Request, remote string) *requestRecord {
	var b strings.Builder
	extra := requestExtra{tls: r.TLS, target: oddTarget(r)}
	uri := "/"
	if extra.target == nil {
		uri = r.RequestURI
	}
	b.WriteString(r.Method + " " + uri + " " + r.Proto + "\r\nHost: " + r.Host + "\r\n")
	_ = r.Header.Write(&b) // a Builder does not fail
	b.WriteString("\r\n" + remote)
	rec := &requestRecord{text: strings.Clone(b.String())}
	if r.Context() != context.Background() {
		extra.ctx = r.Context()
	}
	for pattern := r.Pattern; ; {
		_, rest, ok := strings.Cut(pattern, "{")
		if !ok {
			break
		}
		name, after, _ := strings.Cut(rest, "}")
		if name = strings.TrimSuffix(name, "..."); name != "$" && name != "" {
			extra.paths = append(extra.paths, name, r.PathValue(name))
		}
		pattern = after
	}
	if extra.tls != nil || extra.ctx != nil || extra.paths != nil || extra.target != nil {
		rec.extra = &extra
	}
	return rec
}

func (rec *requestRecord) restore() *http.Request {
	_, remote, _ := strings.Cut(rec.text, endOfHead)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(rec.text[:len(rec.text)-len(remote)])))
	if err != nil {
		// The head was written from a request that had been parsed.
		r = &http.Request{URL: &url.URL{Path: "/"}, Header: http.Header{}}
	}
	r.Body, r.RemoteAddr = http.NoBody, remote
	r.ContentLength, r.TransferEncoding = 0, nil
	if x := rec.extra; x != nil {
		if x.ctx != nil {
			r = r.WithContext(x.ctx)
		}
		r.TLS = x.tls
		if t := x.target; t != nil {
			u := t.url
			r.RequestURI, r.URL = t.uri, &u
		}
		for i := 0; i < len(x.paths); i += 2 {
			r.SetPathValue(x.paths[i], x.paths[i+1])
		}
	}
	return r
}
