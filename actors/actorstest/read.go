package actorstest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// read is the client's goroutine. It ends with the connection.
func (c *Client) read(br *bufio.Reader, r *http.Request) {
	err := c.readResponse(br, r)
	_ = c.conn.Close()
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	c.over = true
	if !errors.Is(err, io.EOF) || c.framing == transport.FramingWebSocket && c.goodbye == nil {
		c.why = err
	}
	c.note("end: %v", err)
}

func (c *Client) readResponse(br *bufio.Reader, r *http.Request) error {
	resp, err := http.ReadResponse(br, r)
	if err == nil {
		err = c.handshake(resp)
	}
	if err != nil {
		return err
	}
	c.sim.mu.Lock()
	c.resp = resp
	c.note("← %s", resp.Status)
	c.sim.mu.Unlock()
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		return c.readFrames()
	case strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream"):
		return c.readEvents(bufio.NewReader(resp.Body))
	}
	return c.readBytes(resp.Body)
}

// got takes a message.
func (c *Client) got(m Message) {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	if n := len(c.inbox); c.framing == transport.FramingStream && n > 0 {
		c.inbox[n-1].Data += m.Data
	} else {
		c.inbox = append(c.inbox, m)
	}
	c.note("← %s", shown([]byte(m.Data)))
}

func (c *Client) readBytes(body io.Reader) error {
	b := make([]byte, 4<<10)
	for {
		n, err := body.Read(b)
		if n > 0 {
			c.got(Message{Data: string(b[:n])})
		}
		if err != nil {
			return err
		}
	}
}

func (c *Client) readEvents(body *bufio.Reader) error {
	var m Message
	var data []string
	for {
		line, err := body.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && data != nil:
			m.Data = strings.Join(data, "\n")
			c.got(m)
			m, data = Message{ID: m.ID}, nil
		case line == "":
			m.Event = ""
		case field == "data":
			data = append(data, value)
		case field == "event":
			m.Event = value
		case field == "id":
			m.ID = value
		}
	}
}

func (c *Client) readFrames() error {
	var m Message
	var data []byte
	var deflated bool
	for {
		f, err := c.peer.ReadFrame(context.Background())
		if err != nil {
			return err
		}
		switch f.Header.OpCode {
		case ws.OpPing:
			c.pingCame(f)
			continue
		case ws.OpPong:
			c.did("← pong")
			continue
		case ws.OpClose:
			c.goodbyeCame(f)
			continue
		case ws.OpText, ws.OpBinary:
			m.Binary, deflated = f.Header.OpCode == ws.OpBinary, f.Header.Rsv1()
		}
		data = append(data, f.Payload...)
		if !f.Header.Fin {
			continue
		}
		if deflated {
			if data, err = c.peer.Inflate(data); err != nil {
				return err
			}
		}
		m.Data = string(data)
		c.got(m)
		m, data = Message{}, nil
	}
}

func (c *Client) pingCame(f ws.Frame) {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	c.answer("ping", ws.NewPongFrame(f.Payload))
}

// goodbyeCame takes the server's close and answers it in one step: who sees the one
// in the transcript sees the other.
func (c *Client) goodbyeCame(f ws.Frame) {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	c.goodbye = transporttest.ParseClose(f.Payload)
	c.note("← close %d %q", c.goodbye.Code, c.goodbye.Reason)
	if !c.said {
		c.answer("close", ws.NewCloseFrame(f.Payload))
	}
}

// answer is called with mu held: what a client says of itself.
func (c *Client) answer(to string, f ws.Frame) {
	if c.mute {
		c.note("does not answer a %s", to)
		return
	}
	c.note("answers a %s", to)
	c.write(transporttest.Encode(f))
}
