package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
)

const (
	// mostRefusal bounds what is read of a refusal.
	mostRefusal = 64 << 10

	// mostBody is where a POST ends and the next one begins.
	mostBody = 128 << 10

	// tries is how often a request is made before its link counts as broken; again is
	// how long before the next.
	tries = 3
	again = 200 * time.Millisecond
)

func (c *Client) request(ctx context.Context, method string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range c.opts.Header {
		r.Header[k] = v
	}
	return r, nil
}

// post makes a POST that is answered with 200, or fails.
func (c *Client) post(ctx context.Context, body []byte) (*http.Response, error) {
	r, err := c.request(ctx, http.MethodPost, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := c.http.Do(r)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, refusedBy(resp)
	}
	return resp, nil
}

// exchange makes a POST and reads its whole answer. It tries again when the answer does
// not come, which harms nothing: what has a number is handled once.
func (c *Client) exchange(ctx context.Context, body []byte, most int) ([]byte, error) {
	for try := 1; ; try++ {
		b, err := c.exchangeOnce(ctx, body, most)
		if err == nil || try == tries || errors.As(err, new(*Refused)) || errors.Is(err, errProtocol) {
			return b, err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (c *Client) exchangeOnce(ctx context.Context, body []byte, most int) ([]byte, error) {
	resp, err := c.post(ctx, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, int64(most)+1))
	if err == nil && len(b) > most {
		err = fmt.Errorf("%w: an answer of more than %d bytes", errProtocol, most)
	}
	return b, err
}

// refusedBy reads and closes an answer that lets nobody in.
func refusedBy(resp *http.Response) error {
	defer resp.Body.Close()
	e := &Refused{Status: resp.StatusCode}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, mostRefusal))
	var said protocol.Refusal
	if resp.StatusCode >= 400 && json.Unmarshal(b, &said) == nil && said.Code != "" {
		e.Code, e.Reason, e.Speaks, e.Retry = said.Code, said.Reason, said.Speaks, ms(said.Retry)
	} else if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.Retry = ms(min(int64(s), 1<<31) * 1000)
	}
	return e
}

// ms is a time as the protocol has it; nonsense is none.
func ms(n int64) time.Duration {
	if n < 0 || n > 1<<40 {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

func helloOf(data []byte) (h protocol.ServerHello, err error) {
	if err := json.Unmarshal(data, &h); err != nil {
		return h, fmt.Errorf("%w: hello: %w", errProtocol, err)
	}
	if h.V != protocol.Version || h.Window < 1 || h.WindowBytes < 1 || h.From > protocol.MaxNumber {
		return h, fmt.Errorf("%w: a hello that cannot be", errProtocol)
	}
	return h, nil
}

func byeOf(data []byte) error {
	var b bye
	if err := json.Unmarshal(data, &b.Bye); err != nil {
		return fmt.Errorf("%w: goodbye: %w", errProtocol, err)
	}
	return &b
}

// appendLine is a message as texts have it (§4).
func appendLine(b []byte, m *outgoing) []byte {
	if m.binary {
		b = append(b, '~')
		b = base64.StdEncoding.AppendEncode(b, m.text)
	} else {
		b = append(b, m.text...)
	}
	return append(b, '\n')
}

// lineOf is the message of a line. It shares the line's bytes.
func lineOf(line []byte) (m inbound, err error) {
	if len(line) == 0 || line[0] != '~' {
		return inbound{text: line}, nil
	}
	m.binary = true
	if m.text, err = base64.StdEncoding.AppendDecode(nil, line[1:]); err != nil {
		return m, fmt.Errorf("%w: %w", errProtocol, err)
	}
	return m, nil
}

// linesOf are the messages of a text.
func linesOf(text []byte) (messages []inbound, err error) {
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		m, err := lineOf(line)
		if err != nil {
			return messages, err
		}
		messages = append(messages, m)
	}
	return messages, nil
}
