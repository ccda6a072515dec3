package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func dial(t *testing.T, address string, opts ...transporttest.Option) *transporttest.Peer {
	t.Helper()
	p, _, err := transporttest.DialPeer(within(t), address, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Disconnect() })
	return p
}

// closeOf reads until the server's close frame.
func closeOf(t *testing.T, p *transporttest.Peer) *transporttest.CloseError {
	t.Helper()
	ctx := within(t)
	for {
		_, _, err := p.ReadMessage(ctx)
		var e *transporttest.CloseError
		switch {
		case errors.As(err, &e):
			return e
		case err != nil:
			t.Fatal(err)
		}
	}
}

func TestSignalDrains(t *testing.T) {
	for _, driver := range []string{"auto", "goroutine"} {
		t.Run(driver, func(t *testing.T) {
			p := startProgram(t, "--driver", driver)
			hello, err := (&protocol.ClientHello{V: protocol.Version, Client: "ada"}).Subprotocol()
			if err != nil {
				t.Fatal(err)
			}
			chat := dial(t, p.ws("chat"), transporttest.WithSubprotocols(protocol.JSON, hello))
			peers := []*transporttest.Peer{chat, dial(t, p.ws("echo")), dial(t, p.ws("clock"))}
			p.signal()
			for _, peer := range peers {
				if e := closeOf(t, peer); e.Code != 1001 {
					t.Errorf("close code %d, want 1001", e.Code)
				}
				_ = peer.Close(1001, "") // the server may be gone
			}
			if code := p.exit(t); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			if out := p.stdout.String(); !strings.HasSuffix(out, "\ndrained: opened 3, closed 3\n") {
				t.Errorf("stdout ends with %q", out)
			}
			if !strings.Contains(p.stderr.String(), "msg=drained closed=3 forced=0 left=0") {
				t.Errorf("the log does not tell how it ended:\n%s", p.stderr)
			}
		})
	}
}

func TestHealthz(t *testing.T) {
	p := startProgram(t)
	client := &http.Client{}
	if status, body := get(t, client, p.url+"healthz"); status != 200 || body != "ok\n" {
		t.Errorf("running: %d %q", status, body)
	}
	peer := dial(t, p.ws("echo"))
	p.signal()
	closeOf(t, peer) // not answered yet: the drain waits for that
	if status, body := get(t, client, p.url+"healthz"); status != 503 {
		t.Errorf("draining: %d %q", status, body)
	}
	if status, _ := get(t, client, p.url+"clock"); status != 503 {
		t.Errorf("a new channel while draining: %d", status)
	}
	if err := peer.Close(1001, ""); err != nil {
		t.Error(err)
	}
	p.exit(t)
}

func TestDrainTimeoutCutsOff(t *testing.T) {
	p := startProgram(t, "--drain-timeout", "50ms")
	dial(t, p.ws("echo")) // never answers the close
	p.signal()
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if out := p.stdout.String(); !strings.HasSuffix(out, "\ndrained: opened 1, closed 1\n") {
		t.Errorf("stdout ends with %q", out)
	}
	if !strings.Contains(p.stderr.String(), "cut off") {
		t.Errorf("the log does not say so:\n%s", p.stderr)
	}
}

func TestLogOfJSON(t *testing.T) {
	p := startProgram(t, "--log", "json", "--log-level", "debug")
	p.signal()
	p.exit(t)
	for l := range strings.Lines(p.stderr.String()) {
		var v struct{ Msg, Addr, URL string }
		if err := json.Unmarshal([]byte(l), &v); err != nil {
			t.Errorf("%q: %v", l, err)
		}
		if v.Msg == "serving" && v.URL == p.url && p.url == "http://"+v.Addr+"/" {
			return
		}
	}
	t.Errorf("no line tells the address:\n%s", p.stderr)
}

func TestOrigins(t *testing.T) {
	p := startProgram(t, "--origins", "*.example.com, https://b.test")
	for origin, want := range map[string]int{
		"https://a.example.com": 101,
		"https://b.test":        101,
		"http://b.test":         403,
		"https://c.test":        403,
		p.url[:len(p.url)-1]:    101, // the page's own
	} {
		peer, resp, err := transporttest.DialPeer(within(t), p.ws("echo"), transporttest.WithHeader(http.Header{"Origin": {origin}}))
		if resp == nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", origin, resp.StatusCode, want)
		}
		if peer != nil {
			_ = peer.Disconnect()
		}
	}
}

func TestTLS(t *testing.T) {
	cert, key, roots := makeCertificate(t)
	p := startProgram(t, "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(p.url, "https://") || !strings.Contains(p.stdout.String(), "(driver: goroutine)") {
		t.Errorf("stdout %q", p.stdout)
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	if status, body := get(t, web, p.url); status != 200 || !strings.Contains(body, "<title>Troupe</title>") {
		t.Errorf("the page: %d", status)
	}
	for _, carrier := range carriers {
		ada := enterChat(t, p.url, "ada", "Ada", "x", over(carrier), func(o *client.Options) { o.HTTP = web })
		ada.say("over TLS")
		ada.hears("over TLS")
	}
}

// makeCertificate writes a certificate for 127.0.0.1 that signs itself.
func makeCertificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER), roots
}

// startProcess runs the program in a process of its own.
func startProcess(t *testing.T) (cmd *exec.Cmd, url string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no SIGTERM")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stdout := newOutput()
	cmd = exec.CommandContext(within(t), exe, "serve", "--addr", "127.0.0.1:0", "--drain-timeout", "1m")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stdout = stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, stdout.after(t, "troupe is serving ")
}

func TestSIGTERM(t *testing.T) {
	cmd, url := startProcess(t)
	peer := dial(t, url+"echo")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := closeOf(t, peer); e.Code != 1001 {
		t.Errorf("close code %d, want 1001", e.Code)
	}
	if err := peer.Close(1001, ""); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if out := cmd.Stdout.(*output).String(); !strings.HasSuffix(out, "\ndrained: opened 1, closed 1\n") {
		t.Errorf("stdout ends with %q", out)
	}
}

func TestSecondSignalExitsAtOnce(t *testing.T) {
	cmd, url := startProcess(t)
	peer := dial(t, url+"echo")
	term := func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	term()
	closeOf(t, peer) // and not answered: the drain goes on when the second comes
	term()
	var ended *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v, want the signal", err)
	}
}

func TestPage(t *testing.T) {
	p := startProgram(t)
	ask := func(method, path, etag string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(within(t), method, p.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		if etag != "" {
			req.Header.Set("If-None-Match", etag)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		if method == http.MethodGet && resp.StatusCode == 200 && b.Len() == 0 {
			t.Errorf("%s is empty", path)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Content-Security-Policy") != contentPolicy {
			t.Errorf("%s %s: header %v", method, path, resp.Header)
		}
		return resp
	}
	for path, want := range map[string]string{
		"":           "text/html; charset=utf-8",
		"index.html": "text/html; charset=utf-8",
		"style.css":  "text/css; charset=utf-8",
		"app.js":     "text/javascript; charset=utf-8",
		"view.js":    "text/javascript; charset=utf-8",
		"troupe.js":  "text/javascript; charset=utf-8",
	} {
		resp := ask("GET", path, "")
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != want {
			t.Errorf("/%s: %d %q, want %q", path, resp.StatusCode, got, want)
		}
		if again := ask("GET", path, resp.Header.Get("ETag")); again.StatusCode != 304 {
			t.Errorf("/%s again: %d, want 304", path, again.StatusCode)
		}
		if head := ask("HEAD", path, ""); head.StatusCode != 200 || head.ContentLength != resp.ContentLength {
			t.Errorf("HEAD /%s: %d, %d bytes", path, head.StatusCode, head.ContentLength)
		}
	}
	if resp := ask("GET", "web/app.js", ""); resp.StatusCode != 404 {
		t.Errorf("a file that is not there: %d", resp.StatusCode)
	}
	if resp := ask("POST", "", ""); resp.StatusCode != 405 {
		t.Errorf("POST /: %d", resp.StatusCode)
	}
}

func TestUnixSocketBehindProxy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	p := startProgram(t, "--addr", "unix:"+path, "--proxy-protocol", "10.0.0.0/8, 127.0.0.1/32")
	if p.url != "unix:"+path {
		t.Errorf("serving %s", p.url)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		c, err := net.Dial("unix", path)
		if err == nil {
			_, err = c.Write([]byte("PROXY TCP4 192.0.2.7 10.0.0.1 50123 443\r\n"))
		}
		return c, err
	}}}
	if status, body := get(t, client, "http://x/healthz"); status != 200 {
		t.Errorf("%d %q", status, body)
	}
	p.signal()
	p.exit(t)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}
