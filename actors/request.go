package actors

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"strings"
)

// requestRecord is a request as it is kept with an open channel: the bytes of
// its head, which are a fraction of what an http.Request takes, and what the
// head does not say.
type requestRecord struct {
	head   []byte
	remote string
	paths  []string // names and values of path parameters, in turn
	tls    *tls.ConnectionState
	ctx    context.Context // the values that middleware put there
}

// Request is the request that made the channel, with its header, its path
// values, and the values of its context; it has no body, and its context does
// not end. Each call after Open may return another copy.
func (c *Channel) Request() *http.Request {
	if r := c.request.Load(); r != nil {
		return r
	}
	if rec := c.head.Load(); rec != nil {
		return rec.restore()
	}
	return nil
}

func (c *Channel) remote() string {
	if r := c.request.Load(); r != nil {
		return r.RemoteAddr
	}
	if rec := c.head.Load(); rec != nil {
		return rec.remote
	}
	return ""
}

// setRequest keeps r for as long as Open runs.
func (c *Channel) setRequest(r *http.Request) {
	kept := r.WithContext(context.WithoutCancel(r.Context()))
	kept.Body = http.NoBody
	kept.ContentLength = 0
	c.request.Store(kept)
}

// packRequest exchanges the request for its record.
func (c *Channel) packRequest() {
	if r := c.request.Load(); r != nil {
		c.head.Store(record(r))
		c.request.Store(nil)
	}
}

func record(r *http.Request) *requestRecord {
	var b bytes.Buffer
	b.WriteString(r.Method + " " + r.URL.RequestURI() + " HTTP/1.1\r\nHost: " + r.Host + "\r\n")
	_ = r.Header.Write(&b) // a Buffer does not fail
	b.WriteString("\r\n")
	rec := &requestRecord{head: bytes.Clone(b.Bytes()), remote: r.RemoteAddr, tls: r.TLS, ctx: r.Context()}
	for pattern := r.Pattern; ; {
		_, rest, ok := strings.Cut(pattern, "{")
		if !ok {
			break
		}
		name, after, _ := strings.Cut(rest, "}")
		if name = strings.TrimSuffix(name, "..."); name != "$" && name != "" {
			rec.paths = append(rec.paths, name, r.PathValue(name))
		}
		pattern = after
	}
	return rec
}

func (rec *requestRecord) restore() *http.Request {
	r, err := http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(rec.head), len(rec.head)+16))
	if err != nil {
		// The head was written from a request that had been parsed.
		r = &http.Request{Header: http.Header{}}
	}
	r = r.WithContext(rec.ctx)
	r.Body = http.NoBody
	r.RemoteAddr, r.TLS = rec.remote, rec.tls
	for i := 0; i < len(rec.paths); i += 2 {
		r.SetPathValue(rec.paths[i], rec.paths[i+1])
	}
	return r
}
