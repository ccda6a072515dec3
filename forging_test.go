package troupe_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// evil is text that ends a line, begins another, and moves a terminal's cursor.
const evil = "ann\r\nmsg=forged level=ERROR\x1b[2J\x00\u2028\u202e\u0085\x7f\xff"

// checkLines fails on a line of the log that the runtime has not begun itself, and
// on what is not printable.
func (d *door) checkLines() {
	d.Helper()
	log := d.log.String()
	lines := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
	for _, line := range lines {
		if !strings.HasPrefix(line, "msg=") || strings.HasPrefix(line, "msg=forged") ||
			strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) || r == '\uFFFD' }) {
			d.Errorf("%q", line)
		}
	}
	if !strings.Contains(log, "forged") || len(lines) < 5 {
		d.Errorf("what was to be escaped is not in the log: %q", log)
	}
}

// Whatever a peer says, and wherever it comes up again, the log keeps to its
// lines, even one whose handler quotes nothing.
func TestNoPeerForgesALine(t *testing.T) {
	tell := func(c *actors.Channel, text string) { _, _ = c.Join(text); c.Publish(text, text); _ = c.Send(text) }
	b := actors.Callbacks{
		Open: func(c *actors.Channel) { tell(c, evil) },
		Message: func(c *actors.Channel, m actors.Message) {
			tell(c, m.String())
			c.OnClose(func(actors.Closed) { panic(m.String()) })
			_ = c.Send(ailing{errors.New(m.String())}, actors.Whole())
			c.Runtime().System().Root.Send(c.PID(), m.String()) // nobody's: a dead letter in the end
			panic(m.String())
		},
		Receive: func(_ *actors.Channel, ctx actor.Context) { panic(ctx.Message()) },
		Error:   func(_ *actors.Channel, err error) { panic(err) },
		Close:   func(_ *actors.Channel, e actors.Closed) { panic(errors.New(e.Reason)) },
	}
	cfg := actors.Config{Options: actors.Options{
		CloseTimeout: time.Second,
		Authorize: func(_ http.ResponseWriter, r *http.Request) (string, bool) {
			if r.URL.Path == "/panic" {
				panic(evil)
			}
			return evil, r.URL.Path != "/refuse"
		},
	}}
	d := opens(t, cfg, actors.ServerConfig{}, b, nil)
	// Some of these go no further than net/http.
	for _, head := range []string{
		"GET /refuse HTTP/1.1\r\nHost: x\r\n", "GET /panic HTTP/1.1\r\nHost: x\r\n",
		"GET /%0d%0amsg=forged%1b[2J HTTP/1.1\r\nHost: x\r\n",
		"GET /refuse HTTP/1.1\r\nHost: x\x1b[2J\r\n",
		"GET /refuse HTTP/1.1\r\nHost: x\r\nX: a\x1b[2J\r\n",
		"GET /\x1b[2J HTTP/1.1\r\nHost: x\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nOrigin: https://\x1b[2J\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nOrigin: \u2028\u202e\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol: \u2028, \xff\r\n",
		"\x1b[2J\r\nmsg=forged\r\n",
	} {
		d.says(head + strings.Replace(upgrading, "Upgrade\r\n", "Upgrade, close\r\n", 1) + "\r\n")
	}
	for range 5 {
		p, _, err := transporttest.DialPeer(t.Context(), "ws://"+d.srv.Addr().String())
		must(t, err)
		_ = p.WriteText(strings.ToValidUTF8(evil, ""))
		_ = p.Close(4000, strings.ToValidUTF8(evil, "")) // it may be closed already
		_, _ = io.Copy(io.Discard, p.Conn())
		_ = p.Disconnect()
	}
	d.end()
	d.checkLines()
}
