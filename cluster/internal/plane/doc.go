// Package plane is the control plane of a node: which other nodes are up, which
// of them have what, and who tells of the channels that a node loses when it dies.
//
// It is a state machine: no goroutines, no clock, no I/O. Its owner tells a State
// what happens and the time, and does what Take gives back:
//
//	provider ── Members ──▶ ┌───────┐ ──▶ Up, Down, NewLife, Twin
//	lanes ── Receive, ────▶ │       │ ──▶ Send: a record into a lane
//	  Blocked, Stray        │ State │ ──▶ Over: a datagram
//	datagrams ── Over ────▶ │       │ ──▶ Lost, Returned: the application's OnLost
//	this node ── Set, ────▶ └───┬───┘ ──▶ Online: presence
//	  Open, Close, Told         │
//	any goroutine ◀──────── Table: who has this uid?
//
// # Lives
//
// A life of a node is up when the provider reports it, and Down, for good, when
// it is not reported any more. A life that was given up and is seen again is told
// that it is Over; its process takes a new one and announces everything anew. If two
// have given up each other, as after a partition, that with fewer peers does so, and
// knows the other again as it was: the larger side goes on undisturbed.
// Nobody has to agree: each node has its own view, and a node's entries are there
// as long as it is up in that view.
//
// Lanes are between two lives. What arrives in one whose sender is not up yet must
// wait in it; what is for an earlier life of this node is dropped, and Stray tells
// who sent it. A lane that is full is Blocked: its peer is then told the diffs it
// has missed or, if there were too many (65,536), gets a snapshot.
//
// Two processes of one name are a mistake of configuration: the younger is
// believed, the elder hears of its Twin.
//
// # The loss of channels
//
// A node has its channels kept by Config.Keepers others, chosen by rendezvous
// hashing. Each knows them as of some opening or closing. When the node is down
// the eldest keeper that is up tells of them, 256 at a time, and says to the others
// how far it is; when it is done they tell of what it did not know, and if it goes
// down the next goes on. A keeper with a new life keeps its turn, one whom the node that
// died had given up is asked all the same, and one whom the others have not met yet is
// waited for, 5 s at most.
//
// What is promised:
//
//   - A channel that lives is not told as lost unless a keeper gave up its node.
//     Then Returned tells its node, and it is not told again.
//   - A channel that was open when its node died is told once, if a keeper
//     survives that knew it.
//
// What is not:
//
//   - If the node and all its keepers die at once, nobody tells. The same is true
//     of a node that was alone.
//   - A keeper that dies while it tells may have called OnLost for up to 256
//     channels of which the next one does not know: they are told twice. So may
//     all of them be, if a keeper was appointed in the last moment, when the one
//     before did not know it yet, and that one is done and then dies; or if it takes a
//     new life, and leaves before the next one has heard of what it told.
//   - When a partition separates keepers, those on the side without the node each
//     believe to be the last on their side: one of each side tells. Keepers that
//     see the node do not. When a node was given up by some and then dies, its
//     channels may be told by keepers who could not see each other.
//   - A channel that was opened so shortly before the death that no keeper had its
//     record, is not told; one that was closed so shortly before may be, after its
//     end was told where it lived. The same goes while a first snapshot is on its
//     way to a keeper, as when it was just appointed; an elder one stays until the
//     new has it.
//   - What was told is forgotten after Config.Remember, and if it is more than 2^20
//     channels: who returns later does not hear of it.
package plane
