// Package cluster joins the runtimes of several processes, so that any of them
// reaches every channel, user and topic of all, and hears when one is lost.
//
//	cl, err := cluster.New(cluster.Config{Addr: "10.0.0.1:7946", Join: []string{"10.0.0.2:7946"}, Key: key})
//	rt, err := actors.Start(actors.Config{Cluster: cl})
//
// From then on [actors.Runtime.Publish], SendUID and SendAll mean the channels of all
// nodes, and a channel's PID works from every node: Send, Request, Watch, Stop, Poison.
//
// A channel lives on the node that holds its socket, and that node alone speaks for
// it. So there is nothing to agree upon, and no leader: each node tells every other
// which users and topics it has, and takes its own word along when it is lost. The
// sides of a partition go on with what they have, and are one again when it heals.
//
// What is promised:
//
//   - A message by PID, a broadcast or a question reaches another node at most once,
//     and those of one sender to one receiver in order. It is lost if that node is,
//     or if so much waits for it (Config.PeerBytes) that it finds no room. What is known to be lost
//     is a dead letter, or counted (Stats), or the error of a question.
//   - A node that hears nothing holds up nobody but those who wait for its answers.
//   - A node is known to all by a life: its name, address and epoch. A life that was
//     given up is never believed again. A node that comes back, because it was only
//     paused or cut off, takes a new life, and keeps its channels.
//   - Who watches a PID hears Terminated once, whether the channel, the connection to
//     its node, or the node has ended.
package cluster
