package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/events/protocol"
)

// More than the server's window goes up in several POSTs, each with its number.
func TestPostsWithinTheWindow(t *testing.T) {
	var made []string
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		hello, rest, _ := strings.Cut(string(b), "\n")
		from := "none"
		if _, after, ok := strings.Cut(hello, `"from":`); ok {
			from = after[:strings.IndexAny(after, ",}")]
		}
		made = append(made, fmt.Sprint(from, ": ", strings.Join(strings.Fields(strings.ReplaceAll(rest, "e n ", "")), " ")))
	}))
	defer web.Close()
	c, err := New(web.URL, Options{Client: "a"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		bytes int
		want  []string
	}{
		{1 << 10, []string{"7: 8 9 o 10 11", "11: 12 13 14 15", "15: 16 17"}},
		{26, []string{"7: 8 9 o 10", "10: 11 12 13", "13: 14 15 16", "16: 17"}},
	} {
		made = nil
		p := &posts{c: c, ctx: t.Context(), cancel: func(error) {}}
		p.begin(protocol.ServerHello{Session: "s", Window: 4, WindowBytes: test.bytes})
		var batch []*outgoing
		for n := range uint64(10) {
			batch = append(batch, &outgoing{text: fmt.Appendf(nil, "e n %d", n+8), number: n + 8})
			if n == 1 {
				batch = append(batch, &outgoing{text: []byte("o")})
			}
		}
		if _, err := p.write(batch); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(made, test.want) {
			t.Errorf("%q, not %q", made, test.want)
		}
	}
	if err := c.Close(context.Background()); err != nil {
		t.Log(err)
	}
}
