package js_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/troupe-actors/troupe/client/js"
)

func Example() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /troupe.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(js.Script)
	})
	web := httptest.NewServer(mux)
	defer web.Close()

	r, err := http.Get(web.URL + "/troupe.js")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Body.Close()
	script, _ := io.ReadAll(r.Body)
	fmt.Println(r.Status, bytes.Contains(script, []byte("as connect")))
	// Output: 200 OK true
}

func TestBothBuildsAreEmbedded(t *testing.T) {
	for _, name := range []string{"dist/index.min.js", "dist/index.js"} {
		b, err := js.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte("troupe.hello.")) {
			t.Errorf("%s is not the client", name)
		}
	}
}
