//go:build linux

package peertest

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// nginx is one between the client and a server. What it does is in the path:
// /on/ buffers, /off/ does not, /zip/ compresses, /short/ waits no longer than
// readTimeout for us. /refuses/on/ and /refuses/off/ refuse upgrades, as does
// /refuses/all/, which holds back streams; and /later/, until there is a
// file dir/upgrades.
type nginx struct {
	*testing.T
	dir     string
	plain   string // http://...
	secure  string // https://...: HTTP/2 for who wants it
	tcp     string // host:port: what comes is passed on, behind a PROXY header
	sockets []*os.File
	process *exec.Cmd
	log     journal
}

// readTimeout is /short/'s. The pings that keep a connection there come 32 times
// as often, for machines that now and then do nothing for seconds.
const (
	readTimeout = 8 * time.Second
	pingOften   = readTimeout / 32
)

var configuration = template.Must(template.New("nginx.conf").Parse(`
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
{{if .Root}}user nobody nogroup;{{end}}
daemon off;
worker_processes 1;
worker_shutdown_timeout {{.Shutdown}};
pid {{.Dir}}/pid;
error_log stderr info;
events { worker_connections 8192; }
http {
	access_log off;
	client_body_temp_path {{.Dir}}/body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
	upstream troupe {
		server {{.Server}};
		keepalive 32;
		keepalive_requests 100000;
	}
	server {
		listen {{.Plain}};
		listen {{.Secure}} ssl http2;
		ssl_certificate {{.Cert}};
		ssl_certificate_key {{.Key}};
		http2_max_concurrent_streams 256;
		keepalive_requests 100000;

		proxy_http_version 1.1;
		proxy_set_header Host $http_host;
		proxy_set_header Upgrade $http_upgrade;
		proxy_set_header Connection $connection_upgrade;
		proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
		proxy_ssl_trusted_certificate {{.CA}};
		proxy_ssl_verify on;
		proxy_ssl_name localhost;
		proxy_read_timeout 1h;
		proxy_next_upstream off;

		location / { proxy_pass {{.Scheme}}://troupe; }
		location /on/ { proxy_pass {{.Scheme}}://troupe/; }
		location /off/ { proxy_buffering off; proxy_pass {{.Scheme}}://troupe/; }
		location /zip/ {
			gzip on;
			gzip_types *;
			gzip_min_length 1;
			gzip_proxied any;
			proxy_pass {{.Scheme}}://troupe/;
		}
		location /refuses/on/ { if ($http_upgrade) { return 403; } proxy_pass {{.Scheme}}://troupe/; }
		location /refuses/off/ { if ($http_upgrade) { return 403; } proxy_buffering off; proxy_pass {{.Scheme}}://troupe/; }
		location /refuses/all/ {
			if ($http_upgrade) { return 403; }
			proxy_ignore_headers X-Accel-Buffering;
			gzip on;
			gzip_types *;
			gzip_min_length 1;
			gzip_proxied any;
			proxy_pass {{.Scheme}}://troupe/;
		}
		location /later/ {
			set $refused $http_upgrade;
			if (-f {{.Dir}}/upgrades) { set $refused ""; }
			if ($refused) { return 403; }
			proxy_pass {{.Scheme}}://troupe/;
		}
		location /short/ { proxy_read_timeout {{.ReadTimeout}}; proxy_pass {{.Scheme}}://troupe/; }
	}
}
stream {
	server {
		listen {{.TCP}};
		proxy_pass {{.Server}};
		proxy_protocol on;
	}
}
`))

// newNginx starts one in front of a server.
func newNginx(s *server) *nginx {
	s.Helper()
	dir, err := os.MkdirTemp("", "nginx")
	if err != nil {
		s.Fatal(err)
	}
	n := &nginx{T: s.T, dir: dir}
	s.Cleanup(func() { os.RemoveAll(dir) })
	root := os.Geteuid() == 0
	if err := os.Chmod(dir, 0o755); err != nil {
		s.Fatal(err)
	}
	plain, secure, tcp := n.listen(), n.listen(), n.listen()
	n.plain, n.secure, n.tcp = "http://"+plain, "https://"+secure, tcp
	scheme := "http"
	if s.secure {
		scheme = "https"
	}
	var text bytes.Buffer
	err = configuration.Execute(&text, map[string]any{
		"Root": root, "Dir": dir, "Server": s.http.Addr(), "Scheme": scheme,
		"Plain": plain, "Secure": secure, "TCP": tcp,
		"CA": trust.ca, "Cert": trust.cert, "Key": trust.keyPEM,
		"ReadTimeout": strconv.Itoa(int(readTimeout.Seconds())) + "s", "Shutdown": "2s",
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "nginx.conf"), text.Bytes(), 0o644)
	}
	if err != nil {
		s.Fatal(err)
	}
	n.start()
	s.Cleanup(func() {
		n.stop()
		for _, f := range n.sockets {
			f.Close()
		}
		if s.Failed() {
			s.Logf("nginx says\n%s", n.log.tail())
		}
	})
	return n
}

// listen makes a socket that nginx inherits, as it would from itself at an
// upgrade: so it listens from the beginning, and the port is nobody else's.
func (n *nginx) listen() string {
	n.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		n.Fatal(err)
	}
	n.sockets = append(n.sockets, f)
	return ln.Addr().String()
}

func (n *nginx) start() {
	n.Helper()
	n.process = exec.Command("nginx", "-p", n.dir, "-c", filepath.Join(n.dir, "nginx.conf"), "-e", "stderr")
	n.process.Stderr = &n.log
	n.process.ExtraFiles = n.sockets
	inherited := ""
	for i := range n.sockets {
		inherited += strconv.Itoa(3+i) + ";"
	}
	n.process.Env = append(os.Environ(), "NGINX="+inherited)
	n.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := n.process.Start(); err != nil {
		n.Fatal(err)
	}
	for _, f := range n.sockets {
		if err := syscall.SetNonblock(int(f.Fd()), true); err != nil { // starting has changed that
			n.Fatal(err)
		}
	}
}

// stop ends it at once, and every connection with it.
func (n *nginx) stop() {
	n.Helper()
	if n.process == nil {
		return
	}
	n.signal(syscall.SIGTERM)
	_ = n.process.Wait() // how it ended does not matter
	n.process = nil
}

func (n *nginx) signal(s os.Signal) {
	n.Helper()
	if err := n.process.Process.Signal(s); err != nil {
		n.Errorf("nginx: %v\n%s", err, n.log.tail())
	}
}

// journal is what a program has said.
type journal struct {
	mu   sync.Mutex
	text []byte
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(j.text, p...)
	return len(p), nil
}

func (j *journal) tail() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.text[max(0, len(j.text)-4000):])
}

// browserlike is a client as net/http makes it, which trusts the authority and
// keeps its connections; h2 is whether it wants HTTP/2 where there is TLS.
func browserlike(t *testing.T, h2 bool) *http.Client {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.TLSClientConfig = clientTLS()
	tr.ForceAttemptHTTP2 = h2
	tr.DisableCompression = true
	tr.Proxy = nil
	if !h2 {
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetHTTP1(true)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}
