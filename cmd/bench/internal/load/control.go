//go:build linux

package load

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/troupe-actors/troupe/cmd/bench/internal/server"
)

// control asks a server to publish, and what it has used.
type control struct {
	base string
	http *http.Client
}

func newControl(addr string, secure bool) *control {
	c := &control{"http://" + addr, &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the certificate is made afresh by each server
	}}}
	if secure {
		c.base = "https://" + addr
	}
	return c
}

func (c *control) close() { c.http.CloseIdleConnections() }

func (c *control) stats(gc bool) (s server.Stats, err error) {
	url := c.base + "/stats"
	if gc {
		url += "?gc=1"
	}
	response, err := c.http.Get(url)
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return s, fmt.Errorf("%s: %s", url, response.Status)
	}
	return s, json.NewDecoder(response.Body).Decode(&s)
}

// await waits until the server counts so many connections.
func (c *control) await(conns int) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		s, err := c.stats(false)
		if err != nil || s.Conns == conns {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server counts %d connections, not %d", s.Conns, conns)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// order has messages sent; the channel yields when the server has sent them.
func (c *control) order(s Spec) <-chan error {
	url := fmt.Sprintf("%s/publish?n=%d&size=%d&gap_us=%d", c.base, s.Messages, s.Size, s.Gap.Microseconds())
	if s.Kind == Send {
		url = fmt.Sprintf("%s/send?n=%d&size=%d&gap_us=%d&uids=%d", c.base, s.Messages, s.Size, s.Gap.Microseconds(), s.Conns)
	}
	done := make(chan error, 1)
	go func() {
		response, err := c.http.Post(url, "", nil)
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode != http.StatusNoContent {
				err = fmt.Errorf("%s: %s", url, response.Status)
			}
		}
		done <- err
	}()
	return done
}
