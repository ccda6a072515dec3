package cluster

import (
	"errors"
	"fmt"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/plane"
)

// written is a record of the control plane as it travels.
func written(r plane.Record) *clusterpb.Record {
	switch r := r.(type) {
	case plane.Begin:
		return entries(&clusterpb.Entries{Begin: true})
	case plane.End:
		return entries(&clusterpb.Entries{End: true})
	case plane.Entries:
		e := &clusterpb.Entries{Changes: make([]*clusterpb.Change, len(r.Changes))}
		for i, c := range r.Changes {
			e.Changes[i] = &clusterpb.Change{Kind: uint32(c.Kind), Name: []byte(c.Name), Here: c.Here}
		}
		return entries(e)
	case plane.Leave:
		return &clusterpb.Record{What: &clusterpb.Record_Leave{Leave: &clusterpb.Leave{}}}
	case plane.Keepers:
		k := &clusterpb.Keeping{Kind: clusterpb.Keeping_KEEPERS}
		for _, n := range r.Nodes {
			k.Nodes = append(k.Nodes, writtenNode(n))
		}
		return keeping(k)
	case plane.KeepBegin:
		return keeping(&clusterpb.Keeping{Kind: clusterpb.Keeping_BEGIN})
	case plane.Channels:
		k := &clusterpb.Keeping{Kind: clusterpb.Keeping_CHANNELS, Closed: writtenIDs(r.Closed), Seq: r.Seq}
		for _, c := range r.Opened {
			k.Opened = append(k.Opened, &clusterpb.Channel{Id: c.ID[:], Uid: []byte(c.UID), Meta: c.Meta, Seq: c.Seq})
		}
		return keeping(k)
	case plane.KeepEnd:
		return keeping(&clusterpb.Keeping{Kind: clusterpb.Keeping_END, Seq: r.Seq})
	case plane.Release:
		return keeping(&clusterpb.Keeping{Kind: clusterpb.Keeping_RELEASE})
	case plane.Kept:
		return keeping(&clusterpb.Keeping{Kind: clusterpb.Keeping_KEPT})
	case plane.Released:
		return keeping(&clusterpb.Keeping{Kind: clusterpb.Keeping_RELEASED})
	case plane.Told:
		return keeping(&clusterpb.Keeping{Kind: clusterpb.Keeping_TOLD, Closed: writtenIDs(r.IDs)})
	case plane.Waiting:
		return loss(&clusterpb.Loss{Kind: clusterpb.Loss_WAITING, Process: r.Process, Node: writtenNode(r.Node)})
	case plane.Progress:
		return loss(&clusterpb.Loss{Kind: clusterpb.Loss_PROGRESS, Process: r.Process, Ids: writtenIDs(r.IDs)})
	case plane.Done:
		return loss(&clusterpb.Loss{Kind: clusterpb.Loss_DONE, Process: r.Process, Node: writtenNode(r.Node), Seq: r.Seq})
	}
	panic(fmt.Sprintf("cluster: a %T cannot travel", r))
}

func entries(e *clusterpb.Entries) *clusterpb.Record {
	return &clusterpb.Record{What: &clusterpb.Record_Entries{Entries: e}}
}

func keeping(k *clusterpb.Keeping) *clusterpb.Record {
	return &clusterpb.Record{What: &clusterpb.Record_Keeping{Keeping: k}}
}

func loss(l *clusterpb.Loss) *clusterpb.Record {
	return &clusterpb.Record{What: &clusterpb.Record_Loss{Loss: l}}
}

func writtenNode(n plane.Node) *clusterpb.Node {
	return &clusterpb.Node{Name: n.Name, Addr: n.Addr, Epoch: n.Epoch}
}

func nodeOf(n *clusterpb.Node) plane.Node {
	return plane.Node{Name: n.GetName(), Addr: n.GetAddr(), Epoch: n.GetEpoch()}
}

func writtenIDs(ids []plane.ID) []byte {
	b := make([]byte, 0, len(ids)*len(plane.ID{}))
	for _, id := range ids {
		b = append(b, id[:]...)
	}
	return b
}

func idsOf(b []byte) ([]plane.ID, error) {
	const n = len(plane.ID{})
	if len(b)%n != 0 {
		return nil, errRecord
	}
	ids := make([]plane.ID, len(b)/n)
	for i := range ids {
		ids[i] = plane.ID(b[i*n:])
	}
	return ids, nil
}

// errRecord is the error of a record that no node of any version writes.
var errRecord = errors.New("cluster: malformed record")

// kinds is how many kinds of entries there may be: one byte tells.
const kinds = 16

// errLater is the error of a record that only a later version can have written.
var errLater = errors.New("cluster: a record of a later version")

// planeRecords are what a record says to the control plane.
func planeRecords(r *clusterpb.Record) ([]plane.Record, error) {
	switch w := r.What.(type) {
	case *clusterpb.Record_Entries:
		var rs []plane.Record
		if w.Entries.Begin {
			rs = append(rs, plane.Begin{})
		}
		if cs := w.Entries.Changes; len(cs) > 0 {
			e := plane.Entries{Changes: make([]plane.Change, 0, len(cs))}
			for _, c := range cs {
				if c.Kind < kinds { // others are of later versions
					e.Changes = append(e.Changes, plane.Change{Kind: plane.Kind(c.Kind), Name: string(c.Name), Here: c.Here})
				}
			}
			rs = append(rs, e)
		}
		if w.Entries.End {
			rs = append(rs, plane.End{})
		}
		return rs, nil
	case *clusterpb.Record_Keeping:
		return keepingOf(w.Keeping)
	case *clusterpb.Record_Loss:
		return lossOf(w.Loss)
	case *clusterpb.Record_Leave:
		return []plane.Record{plane.Leave{}}, nil
	}
	return nil, errLater
}

func keepingOf(k *clusterpb.Keeping) ([]plane.Record, error) {
	switch k.Kind {
	case clusterpb.Keeping_KEEPERS:
		r := plane.Keepers{}
		for _, n := range k.Nodes {
			r.Nodes = append(r.Nodes, nodeOf(n))
		}
		return []plane.Record{r}, nil
	case clusterpb.Keeping_BEGIN:
		return []plane.Record{plane.KeepBegin{}}, nil
	case clusterpb.Keeping_CHANNELS:
		closed, err := idsOf(k.Closed)
		if err != nil {
			return nil, err
		}
		r := plane.Channels{Closed: closed, Seq: k.Seq}
		for _, c := range k.Opened {
			if len(c.Id) != len(plane.ID{}) {
				return nil, errRecord
			}
			r.Opened = append(r.Opened, plane.Channel{ID: plane.ID(c.Id), UID: string(c.Uid), Meta: c.Meta, Seq: c.Seq})
		}
		return []plane.Record{r}, nil
	case clusterpb.Keeping_END:
		return []plane.Record{plane.KeepEnd{Seq: k.Seq}}, nil
	case clusterpb.Keeping_RELEASE:
		return []plane.Record{plane.Release{}}, nil
	case clusterpb.Keeping_KEPT:
		return []plane.Record{plane.Kept{}}, nil
	case clusterpb.Keeping_RELEASED:
		return []plane.Record{plane.Released{}}, nil
	case clusterpb.Keeping_TOLD:
		ids, err := idsOf(k.Closed)
		return []plane.Record{plane.Told{IDs: ids}}, err
	}
	return nil, errLater
}

func lossOf(l *clusterpb.Loss) ([]plane.Record, error) {
	switch l.Kind {
	case clusterpb.Loss_WAITING:
		return []plane.Record{plane.Waiting{Process: l.Process, Node: nodeOf(l.Node)}}, nil
	case clusterpb.Loss_PROGRESS:
		ids, err := idsOf(l.Ids)
		return []plane.Record{plane.Progress{Process: l.Process, IDs: ids}}, err
	case clusterpb.Loss_DONE:
		return []plane.Record{plane.Done{Process: l.Process, Node: nodeOf(l.Node), Seq: l.Seq}}, nil
	}
	return nil, errLater
}
