package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/troupe-actors/troupe/client/js"
)

//go:embed web
var web embed.FS

// The types of the page's files; those of the system's tables differ from one
// machine to the next.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

const contentPolicy = "default-src 'self'; connect-src 'self' ws: wss:; style-src 'self'; script-src 'self'; img-src 'self' data:"

// asset is one file of the page.
type asset struct {
	kind, tag string
	content   []byte
}

// page serves the chat page. Browsers ask each time whether it has changed, and
// learn by its hash that it has not.
func page() http.Handler {
	assets := readAssets()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		name := r.URL.Path
		if name == "/" {
			name = "/index.html"
		}
		a, ok := assets[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		h.Set("Content-Type", a.kind)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", a.tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
	})
}

// readAssets reads the embedded files by the path they are served under.
func readAssets() map[string]asset {
	assets := map[string]asset{"/troupe.js": newAsset(".js", js.Script)} // the client of events
	files, err := fs.Glob(web, "web/*.*")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for _, file := range files {
		b, err := web.ReadFile(file)
		if err != nil {
			panic(err) // it was listed
		}
		assets["/"+path.Base(file)] = newAsset(path.Ext(file), b)
	}
	return assets
}

func newAsset(ext string, content []byte) asset {
	kind := contentTypes[ext]
	if kind == "" {
		panic("no content type for " + ext)
	}
	sum := sha256.Sum256(content)
	return asset{kind, `"` + hex.EncodeToString(sum[:12]) + `"`, content}
}
