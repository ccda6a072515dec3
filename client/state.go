package client

import (
	"encoding/json"
	"time"
)

// Phase is what a client is doing.
type Phase string

const (
	Idle       Phase = "idle"       // before Connect
	Connecting Phase = "connecting" // making a connection; there is none
	Waiting    Phase = "waiting"    // between attempts, until State.Next
	Open       Phase = "open"       // there is a connection
	Ended      Phase = "ended"      // for good; State.Err says why
)

// State is what a client knows of its session at one moment.
type State struct {
	Phase     Phase
	Transport Transport // of the connection; "" without one

	Session string          // its id; "" before the first
	UID     string          // who the server takes this client for
	Resumed bool            // whether the last connection went on with the session
	Why     string          // if not, why (§3); "" for the first
	Data    json.RawMessage // of the application, in the server's last hello

	Attempt int       // attempts since a connection proved useful
	Next    time.Time // when Waiting: of the next attempt
	Err     error     // why the last connection or attempt ended; nil: none did

	// Lost counts messages to this client that the server has lost, in all sessions;
	// Unsure those of this client of which it is not known whether they were handled,
	// as their session could not be resumed.
	Lost   uint64
	Unsure uint64
}

// State is the present one. It may be called by any goroutine.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Watch has f told of every change of state, in order, from now until stop is called.
// F runs on no goroutine of the session's, one call at a time: it may use the client.
func (c *Client) Watch(f func(now, before State)) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &f
	c.watchers = append(c.watchers[:len(c.watchers):len(c.watchers)], w)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.watchers = without(c.watchers, w)
	}
}

type change struct{ now, before State }

// become changes the state. The session's goroutine calls it.
func (c *Client) become(edit func(*State)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.state
	edit(&c.state)
	if len(c.watchers) == 0 && !c.telling {
		return
	}
	c.changes = append(c.changes, change{c.state, before})
	if !c.telling {
		c.telling = true
		c.running.Add(1)
		go c.report()
	}
}

// report calls watchers until there is nothing to tell, and ends.
func (c *Client) report() {
	defer c.running.Done()
	for {
		c.mu.Lock()
		if len(c.changes) == 0 {
			c.telling, c.changes = false, nil
			c.mu.Unlock()
			return
		}
		next, watchers := c.changes[0], c.watchers
		c.changes = c.changes[1:]
		c.mu.Unlock()
		for _, f := range watchers {
			(*f)(next.now, next.before)
		}
	}
}

// without is a copy of s that lacks one.
func without[T comparable](s []T, one T) []T {
	var kept []T
	for _, x := range s {
		if x != one {
			kept = append(kept, x)
		}
	}
	return kept
}
