package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/internal/twin"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// client is one of the clients' process. It reads all the time, so that it answers
// pings.
type client struct {
	*transporttest.Peer
	echoes    chan []byte  // text messages
	published atomic.Int64 // binary ones, which are numbered
	wrong     atomic.Pointer[error]
	ended     chan struct{}
	err       error // to be read then
}

func visit() {
	line := twin.First()
	var all []*client
	for {
		var o order
		if line.Hear(&o) != nil {
			exit()
		}
		var err error
		if o.Do == "dial" {
			all, err = dial(o.Count)
		} else {
			err = each(all, func(c *client) error { return c.obey(o) })
		}
		var r report
		if err != nil {
			r.Err = err.Error()
		}
		if line.Tell(r) != nil {
			exit()
		}
	}
}

func dial(n int) ([]*client, error) {
	all := make([]*client, n)
	for i := range all {
		all[i] = &client{echoes: make(chan []byte), ended: make(chan struct{})}
	}
	return all, each(all, func(c *client) (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if c.Peer, _, err = transporttest.DialPeer(ctx, "ws://"+address+"/"); err == nil {
			go c.read()
		}
		return err
	})
}

// each does something with all clients at the same time.
func each(all []*client, f func(*client) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() { errs[i] = f(c) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c *client) read() {
	defer close(c.ended)
	for {
		op, b, err := c.ReadMessage(context.Background())
		if c.err = err; err != nil {
			return
		}
		if op == transport.Text {
			c.echoes <- b
			continue
		}
		if got, want := binary.BigEndian.Uint64(b), uint64(c.published.Load()); got != want {
			err := fmt.Errorf("message %d came in place of %d", got, want)
			c.wrong.Store(&err)
		}
		c.published.Add(1)
	}
}

func (c *client) obey(o order) error {
	late := time.After(patience)
	switch o.Do {
	case "echo":
		for i := range o.Count {
			if err := c.echo(bytes.Repeat([]byte{'a' + byte(i%26)}, o.Bytes), late); err != nil {
				return err
			}
		}
	case "await":
		for tick := time.Tick(time.Millisecond); c.published.Load() < int64(o.Count); {
			select {
			case <-tick:
			case <-c.ended:
				return c.err
			case <-late:
				return fmt.Errorf("%d messages of %d came", c.published.Load(), o.Count)
			}
		}
	case "find out":
		for tick := time.Tick(100 * time.Millisecond); ; {
			_ = c.WriteText("hello?") // that it fails is what the reader tells
			select {
			case <-tick:
			case <-c.ended:
				var goodbye *transporttest.CloseError
				if errors.As(c.err, &goodbye) || errors.Is(c.err, net.ErrClosed) {
					return fmt.Errorf("the end was %w", c.err)
				}
				return nil
			case b := <-c.echoes:
				return fmt.Errorf("%q was answered", b)
			case <-late:
				return errors.New("the client still believes in its connection")
			}
		}
	case "leave":
		_ = c.Disconnect() // the server may have done so
		<-c.ended
	}
	if e := c.wrong.Load(); e != nil {
		return *e
	}
	return nil
}

func (c *client) echo(text []byte, late <-chan time.Time) error {
	if err := c.WriteText(string(text)); err != nil {
		return err
	}
	select {
	case b := <-c.echoes:
		if !bytes.Equal(b, text) {
			return fmt.Errorf("got %d bytes of %.1q for %d of %.1q", len(b), b, len(text), text)
		}
		return nil
	case <-c.ended:
		return c.err
	case <-late:
		return errors.New("no echo came")
	}
}
