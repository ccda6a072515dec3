//go:build linux

// Package node is a node of a cluster in a process of its own, and how another
// process tells it what to do: orders to its input, a report on its output for each.
package node

import "time"

// Kind is what a node speaks to the others with.
type Kind string

// The kinds of nodes.
const (
	Cluster Kind = "cluster" // ours
	Remote  Kind = "remote"  // protoactor's remote alone
	Alone   Kind = "alone"   // a runtime without others
)

// Options are the first line that a node reads.
type Options struct {
	Kind      Kind
	Name      string
	Addr      string        // where it gossips; its remote is at the next port
	Join      []string      // where others do
	FailAfter time.Duration // 0: the default

	Certificate, Key []byte // PEM, both ends of all connections use it; nil: plaintext

	Profile string // a file for a CPU profile; "": none
}

// The orders.
const (
	Look    = "look"    // take stock, after a collection if N is not 0
	Sees    = "sees"    // wait until N nodes are known
	Users   = "users"   // wait until N users are
	Open    = "open"    // N channels in memory, of users Name-0 to Name-(N-1), members of the topic
	Listen  = "listen"  // begin to read N messages of Size bytes from each client
	Heard   = "heard"   // wait until that is done: At is when
	Publish = "publish" // N messages of Size bytes to the topic: At is when it began
	Send    = "send"    // N messages of Size bytes to each of the users Name-0 to Name-(Many-1) of To's nodes, in turn, and wait until they are there
	Tell    = "tell"    // N messages of Size bytes to the sink of the node at To, and wait until they are there
	Ask     = "ask"     // N questions to it, one after the other
)

// Order is something to do.
type Order struct {
	Do      string
	N, Size int
	Many    int
	Name    string
	To      []string
}

// Report is what came of an order.
type Report struct {
	Error   string  // "" if it was done
	Address string  // of the node's remote, in its first report
	At      int64   // on the clock of the machine, nanoseconds
	Seconds float64 // that Tell, Send and Ask took
	Micros  float64 // the median of Ask's answers

	CPU            float64 // seconds that the process has used
	Resident, Heap int64   // bytes
}
