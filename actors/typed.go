package actors

import "github.com/asynkron/protoactor-go/actor"

// Typed is [Callbacks] with a value of the application's for each channel: what
// Open returns is kept with the channel and passed to all that follow, also
// after the handler has failed. If Open has not returned it is the zero S.
type Typed[S any] struct {
	Open      func(c *Channel) S
	Message   func(c *Channel, s S, m Message)
	Receive   func(c *Channel, s S, ctx actor.Context)
	Ping      func(c *Channel, s S, data []byte)
	Pong      func(c *Channel, s S, data []byte)
	Error     func(c *Channel, s S, err error)
	Restarted func(c *Channel, s S, r Restarted)
	Close     func(c *Channel, s S, e Closed)
}

func (t Typed[S]) props(rt *Runtime) (*actor.Props, error) { return t.callbacks().props(rt) }

func (t Typed[S]) callbacks() Callbacks {
	return Callbacks{
		Open: func(c *Channel) {
			if t.Open != nil {
				if s := t.Open(c); c.box.Here() { // else it was abandoned, and another has taken its place
					c.keepState(s)
				}
			}
		},
		Message:   withState(t.Message),
		Receive:   withState(t.Receive),
		Ping:      withState(t.Ping),
		Pong:      withState(t.Pong),
		Error:     withState(t.Error),
		Restarted: withState(t.Restarted),
		Close:     withState(t.Close),
	}
}

func withState[S, T any](f func(*Channel, S, T)) func(*Channel, T) {
	if f == nil {
		return nil
	}
	return func(c *Channel, v T) {
		s, _ := c.keptState().(S)
		f(c, s, v)
	}
}

func (c *Channel) keepState(s any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asideLocked().state = s
}

func (c *Channel) keptState() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aside == nil {
		return nil
	}
	return c.aside.state
}
