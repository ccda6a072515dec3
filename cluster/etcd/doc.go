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
// it had. When etcd is back, also without its data, and for two TTL once a node has
// found it again, that node keeps those it knew that have not registered yet. So who
// dies or leaves meanwhile is on the list until then; and for as long as etcd never
// stays for two TTL. A node that alone cannot reach etcd is missed by the others after
// TTL, while it itself goes on believing in all of them; once it can reach etcd again
// it is back with the Epoch it has.
package etcd
