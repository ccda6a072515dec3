package main

import (
	_ "embed"
	"net/http"

	"github.com/troupe-actors/troupe/client/js"
)

//go:embed index.html
var page []byte

//go:embed chat.js
var script []byte

var troupe = js.Script

func serve(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body) // a browser that has gone needs no page
	}
}
