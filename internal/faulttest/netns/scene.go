package main

import (
	"fmt"
	"strings"
	"time"
)

// scene is something that happens to the network, and what must come of it.
type scene struct {
	name     string
	timeouts timeouts // 0: the default
	play     func(*staged) error
}

// slack is what a found half-open peer may be late by, since the machine may have
// other things to do.
const slack = 5 * time.Second

var scenes = []scene{{
	name: "5% of the packets are lost, each takes 100 ms",
	play: func(s *staged) error {
		s.wire(weather{loss: 0.05, delay: 100 * time.Millisecond})
		return s.inOrder(
			s.dial(),
			func() error { return s.tell(s.clients, order{Do: "echo", Count: 10, Bytes: 10_000}) },
			func() error { return s.tell(s.server, order{Do: "publish", Count: 20, Bytes: 2000}) },
			func() error { return s.tell(s.clients, order{Do: "await", Count: 20}) },
		)
	},
}, {
	name:     "a partition of 3 s that the pong timeout outlasts",
	timeouts: timeouts{Ping: 500 * time.Millisecond, Pong: time.Minute, Write: time.Minute},
	play: func(s *staged) error {
		return s.inOrder(
			s.dial(),
			func() error { s.wire(weather{loss: 1}); return nil },
			func() error { return s.tell(s.server, order{Do: "publish", Count: 50, Bytes: 10_000}) },
			func() error { time.Sleep(3 * time.Second); s.wire(weather{}); return nil },
			func() error { return s.tell(s.clients, order{Do: "await", Count: 50}) },
			func() error { return s.tell(s.clients, order{Do: "echo", Count: 1, Bytes: 10}) },
		)
	},
}, {
	name:     "a silent partition of idle channels, ping 1 s, pong 1 s",
	timeouts: timeouts{Ping: time.Second, Pong: time.Second},
	play: func(s *staged) error {
		return s.inOrder(s.dial(), s.lost("pong-timeout", 2*time.Second, false), s.dead())
	},
}, {
	name:     "the same for what the server sends alone",
	timeouts: timeouts{Ping: time.Second, Pong: time.Second},
	play: func(s *staged) error {
		s.oneWay = true
		defer func() { s.oneWay = false }()
		return s.inOrder(s.dial(), s.lost("pong-timeout", 2*time.Second, false), s.dead())
	},
}, {
	name:     "a silent partition while much is sent, write timeout 2 s",
	timeouts: timeouts{Ping: -1, Write: 2 * time.Second},
	play: func(s *staged) error {
		return s.inOrder(s.dial(), s.lost("write-timeout", 2*time.Second, true), s.dead())
	},
}, {
	name:     "a silent partition while they close, close timeout 1 s",
	timeouts: timeouts{Ping: -1, Close: time.Second},
	play: func(s *staged) error {
		return s.inOrder(s.dial(),
			func() error { s.wire(weather{loss: 1}); return nil },
			func() error { return s.tell(s.server, order{Do: "close all"}) },
			s.ended("local-closed", time.Second))
	},
}}

func (s *staged) inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *staged) dial() func() error {
	return func() error { return s.tell(s.clients, order{Do: "dial", Count: s.channels}) }
}

// lost cuts the wire: all channels must end so, within a time.
func (s *staged) lost(cause string, within time.Duration, busy bool) func() error {
	return func() error {
		s.wire(weather{loss: 1})
		if busy {
			if err := s.tell(s.server, order{Do: "publish", Count: 4, Bytes: 200_000}); err != nil {
				return err
			}
		}
		return s.ended(cause, within)()
	}
}

// ended waits for the end of all.
func (s *staged) ended(cause string, within time.Duration) func() error {
	return func() error {
		if err := s.tell(s.server, order{Do: "ended", Count: s.channels}); err != nil {
			return err
		}
		s.note = fmt.Sprintf("; found after %.2f to %.2f s", s.last.First.Seconds(), s.last.Last.Seconds())
		if !strings.HasPrefix(s.last.Causes, cause+" ") || strings.Contains(s.last.Causes, ",") {
			return fmt.Errorf("ended by %s, want %s", s.last.Causes, cause)
		}
		if s.last.Last > within+slack {
			return fmt.Errorf("found after %v, want %v and at most %v more", s.last.Last, within, slack)
		}
		return nil
	}
}

// dead heals the wire: clients that took no part in the end find it out as soon
// as they speak.
func (s *staged) dead() func() error {
	return func() error {
		s.wire(weather{})
		return s.tell(s.clients, order{Do: "find out"})
	}
}
