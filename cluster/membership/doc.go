// Package membership is what a cluster asks of whoever knows its nodes.
//
// A [Provider] joins this node to the others and says, each time something
// changes, the whole list of the members it believes alive. It is level-triggered:
// a list replaces the one before, and one that was replaced before it could be
// told is never told. A provider decides nothing: that a member is missing means
// that it is believed dead, and it may be believed alive again later.
//
//	          Start, Update, Leave, Stop
//	cluster ────────────────────────────▶ provider ◀──▶ the others' providers
//	        ◀────────────────────────────
//	           changed([]Member)
//
// Providers: [Static] here, for tests and for nodes in one process; memberlist
// beside this package, embedded and without a server; etcd, a module of its own.
// Package membershiptest helps to test one of your own.
package membership
