// Package js is the JavaScript client of troupe's events, built, so that a Go program can serve it to browsers.
//
//	http.Handle("/troupe.js", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
//		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
//		w.Write(js.Script)
//	}))
//
// and in the page:
//
//	<script type="module">
//	  import { connect } from "/troupe.js";
//	</script>
package js

import "embed"

// Script is the client, minified: an ECMAScript module that exports connect and TroupeError. It is not to be changed.
//
//go:embed dist/index.min.js
var Script []byte

// FS has what is in Script as dist/index.min.js, and the same readable as dist/index.js.
//
//go:embed dist/index.min.js dist/index.js
var FS embed.FS
