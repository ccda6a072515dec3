//go:build !linux

package transport

import "net"

// Poller watches the descriptors of many links. There is none on this system.
type Poller struct{ _ byte }

// NewPoller returns ErrNoPoller: only Linux has one so far.
func NewPoller() (*Poller, error) { return nil, ErrNoPoller }

// Wait returns ErrPollerClosed.
func (p *Poller) Wait(block bool) error { return ErrPollerClosed }

// Dispatch does nothing.
func (p *Poller) Dispatch() {}

// Close does nothing.
func (p *Poller) Close() error { return nil }

func polled(net.Conn) bool { return false }

func newPolledWebSocket(*Poller, net.Conn) (*wsLink, error)  { return nil, ErrNoPoller }
func newPolledStream(*Poller, net.Conn) (*streamLink, error) { return nil, ErrNoPoller }
