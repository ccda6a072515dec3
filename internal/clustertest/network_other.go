//go:build !linux

package main

import "errors"

type network struct{}

func ip(int) string { return "" }

func newNetwork(int, uint64) (*network, error) { return nil, errors.New("partition needs Linux") }

func (n *network) close()          {}
func (n *network) at(int) []string { return nil }
func (n *network) be(weather)      {}
func (n *network) sever(cut)       {}
func (n *network) losses() int     { return 0 }
