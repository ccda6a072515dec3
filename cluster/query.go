package cluster

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/plane"
)

// Node is a node that is up.
type Node struct {
	Name     string
	Addr     string // of its remote: what its PIDs have
	Epoch    uint64 // its life
	Draining bool   // it takes no new channels
}

// Self is this node.
func (cl *Cluster) Self() Node {
	n := cl.self.Load()
	return Node{n.Name, n.Addr, n.Epoch, cl.draining.Load()}
}

// Nodes are this node and the others that are up, by name.
func (cl *Cluster) Nodes() []Node {
	nodes := []Node{cl.Self()}
	for n, s := range cl.peers().seen {
		nodes = append(nodes, Node{n.Name, n.Addr, n.Epoch, s.Draining})
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	return nodes
}

// Where are the names of the nodes that have channels of a topic, a uid, or any.
func (cl *Cluster) Where(of actors.Audience) []string {
	table := cl.table.Load()
	if table == nil {
		return nil
	}
	nodes, here := table.Nodes(plane.Kind(of.Kind), of.Name, nil)
	names := make([]string, 0, len(nodes)+1)
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	if here {
		names = append(names, cl.cfg.Name)
	}
	slices.Sort(names)
	return names
}

// Connected tells whether a user has channels on any node, now: without the grace that
// Watch gives.
func (cl *Cluster) Connected(uid string) bool {
	table := cl.table.Load()
	return table != nil && table.Has(plane.Kind(actors.ToUID), uid)
}

// Users ranges over the users that have channels on any node. Who comes or goes
// meanwhile may or may not be among them.
func (cl *Cluster) Users() iter.Seq[string] { return cl.names(actors.ToUID) }

// Topics ranges over the topics that have members on any node.
func (cl *Cluster) Topics() iter.Seq[string] { return cl.names(actors.ToTopic) }

// CountUsers is how many users have channels on any node.
func (cl *Cluster) CountUsers() int {
	table := cl.table.Load()
	if table == nil {
		return 0
	}
	return table.Count(plane.Kind(actors.ToUID))
}

func (cl *Cluster) names(k actors.AudienceKind) iter.Seq[string] {
	return func(yield func(string) bool) {
		if table := cl.table.Load(); table != nil {
			table.Range(plane.Kind(k), func(name string, _ []plane.Node, _ bool) bool { return yield(name) })
		}
	}
}

// Ref is a channel somewhere in the cluster.
type Ref struct {
	PID  *actor.PID
	UID  string
	Node string
}

// List asks the nodes that have them for the channels of a topic, a uid, or all. Each
// answers as it is then. The error joins those of the nodes that did not answer before
// ctx ended: what the others said is there all the same.
func (cl *Cluster) List(ctx context.Context, of actors.Audience) ([]Ref, error) {
	var refs []Ref
	err := cl.ask(ctx, of, serviceList, func(node string, data []byte) error {
		l := &clusterpb.List{}
		if err := proto.Unmarshal(data, l); err != nil {
			return err
		}
		for _, r := range l.Refs {
			refs = append(refs, Ref{pidOf(r.Address), string(r.Uid), node})
		}
		return nil
	})
	return refs, err
}

// Count asks the nodes that have them how many channels a topic, a uid, or all have; the
// error is as List's.
func (cl *Cluster) Count(ctx context.Context, of actors.Audience) (int, error) {
	n := 0
	err := cl.ask(ctx, of, serviceCount, func(_ string, data []byte) error {
		l := &clusterpb.List{}
		if err := proto.Unmarshal(data, l); err != nil {
			return err
		}
		n += int(l.Count)
		return nil
	})
	return n, err
}

// Services of every node.
const (
	serviceList  = "troupe/list"
	serviceCount = "troupe/count"
)

// ask asks all nodes that have members of an audience, this one too, and calls f with
// each answer, one at a time.
func (cl *Cluster) ask(ctx context.Context, of actors.Audience, service string, f func(node string, data []byte) error) error {
	table := cl.table.Load()
	if table == nil {
		return nil
	}
	question, err := proto.Marshal(&clusterpb.Cast{Audience: clusterpb.Cast_Audience(audienceOf(of.Kind)), Name: []byte(of.Name)})
	if err != nil {
		return err
	}
	nodes, here := table.Nodes(plane.Kind(of.Kind), of.Name, nil)
	var mu sync.Mutex
	var errs []error
	take := func(node string, data []byte, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			err = f(node, data)
		}
		if err != nil {
			errs = append(errs, &NodeError{node, err})
		}
	}
	var asked sync.WaitGroup
	ps := cl.peers()
	for _, n := range nodes {
		if p := ps.byNode[n]; p != nil {
			asked.Go(func() {
				data, err := cl.call(ctx, p, service, question)
				take(n.Name, data, err)
			})
		}
	}
	if here {
		data, err := cl.list(service == serviceList)(ctx, "", question)
		take(cl.cfg.Name, data, err)
	}
	asked.Wait()
	return errors.Join(errs...)
}

// NodeError is the error of one node.
type NodeError struct {
	Node string
	Err  error
}

func (e *NodeError) Error() string { return e.Node + ": " + e.Err.Error() }
func (e *NodeError) Unwrap() error { return e.Err }

// list answers what List and Count ask.
func (cl *Cluster) list(refs bool) Service {
	return func(_ context.Context, _ string, question []byte) ([]byte, error) {
		of := &clusterpb.Cast{}
		if err := proto.Unmarshal(question, of); err != nil {
			return nil, err
		}
		var channels iter.Seq[*actors.Channel]
		switch of.Audience {
		case clusterpb.Cast_TOPIC:
			channels = cl.rt.Members(string(of.Name))
		case clusterpb.Cast_UID:
			channels = cl.rt.ByUID(string(of.Name))
		default:
			channels = cl.rt.Channels()
		}
		l := &clusterpb.List{}
		for c := range channels {
			l.Count++
			if refs {
				l.Refs = append(l.Refs, &clusterpb.Ref{Address: cl.address(c.PID()), Uid: []byte(c.UID())})
			}
		}
		return proto.Marshal(l)
	}
}
