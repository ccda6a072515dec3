//go:build !linux

package main

import (
	"errors"

	"github.com/troupe-actors/troupe/internal/twin"
)

const address = ""

const (
	atServer = iota
	atClients
)

type network struct{ oneWay bool }

func newNetwork(uint64) (*network, error) { return nil, errors.New("netns needs Linux") }

func (n *network) wire(weather)                             {}
func (n *network) close()                                   {}
func (n *network) start(int, string) (*twin.Process, error) { return nil, errors.ErrUnsupported }
