// Package memberlist finds the members of a cluster by gossip between the nodes
// themselves: no server. It is the default provider of a cluster's membership.
//
// Nodes speak over UDP and TCP, both on one port, encrypted with a key they share
// (AES-GCM), and find each other by asking the addresses in Config.Join, of which
// one that answers is enough. What a node tells is written in its metadata, and
// spreads; who does not answer is suspected, has time to object, and is then
// missing.
//
// How long things take, with the defaults, on a LAN of up to ten nodes (with more
// it grows with the logarithm of their number):
//
//	join                  known to the one asked at once, to all within 1 s
//	leave                 within 1 s
//	killed, cut off       missing after 2 to 5 s (Config.FailAfter)
//	pause of up to 2 s    not noticed: others suspect the node, it objects
//	end of a longer pause mostly back at once, within 15 s at most
//	partition healed      both sides meet again within 5 s, 15 s at most
//
// A side of a partition goes on alone. Gossip by itself would forget who died; so
// each node asks, every FailAfter, the addresses of Config.Join and those it lost
// within the last hour that are no members now.
//
// A process is a member under its Name and its Process, so a node that starts
// again at the same address is a new member at once, while its earlier run is
// found dead later; it replaces it by its greater Epoch. Two nodes which are given
// one Name by mistake are told apart the same way: all others believe the one with
// the greater Epoch, and the two log it.
//
// It embeds github.com/hashicorp/memberlist (MPL-2.0).
package memberlist
