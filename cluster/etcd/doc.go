// Package etcd finds the members of a cluster in etcd: each node has a key there
// that lives as long as its lease, and all watch the keys.
//
//	/troupe/<Config.Cluster>/<Name>@<Process>  →  the member, as JSON
//
// It is a module of its own, so that nobody else links the client of etcd.
//
// How long things take: who joins, changes or leaves is known to all at once. Who
// dies or is cut off from etcd is missing once its lease ends, which is Config.TTL
// after it was last renewed, and up to a second more; a pause shorter than two
// thirds of TTL is not noticed. Whoever finds its lease ended, registers again.
//
// While etcd is away nobody joins and nobody is missed: each node keeps the list
// it had. So a node that dies meanwhile is believed alive until etcd is back and
// its lease has ended there. A node that alone cannot reach etcd is missed by the
// others after TTL, while it itself goes on believing in all of them; once it can
// reach etcd again it is back with the Epoch it has. An etcd that comes back
// without its data knows nobody: all are missed for the moment until they have
// registered again, which takes about a third of TTL.
package etcd
