package actors

import (
	"context"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/registry"
	"github.com/troupe-actors/troupe/transport"
)

// Cluster joins a runtime with those of other processes, its nodes; see
// [Config].Cluster. It is for one runtime and one life of it. Its methods are
// called by the runtime alone, from any goroutine and several at once, but for
// Begin, Join and Leave. Where nothing else is said they must not wait.
type Cluster interface {
	// Begin comes first: no actor of the runtime exists yet. It may set the
	// system's address and start what listens there, and may wait. An error is
	// Start's; then nothing else is called.
	Begin(system *actor.ActorSystem) error

	// Join comes once the runtime is complete, before Start returns it. From now
	// on it may be called back, as [Runtime.Deliver]. It may wait. An error is
	// Start's, after Leave.
	Join(rt *Runtime) error

	// Draining tells that the runtime takes no new channels any more: once, from Drain or
	// Stop, before Leave.
	Draining()

	// Leave comes last, once, from Stop: all channels have ended, and the
	// registry, the runtime's mailboxes and the actor system still work. Where Start
	// fails after Begin it comes too. It waits until ctx is done at most, and a
	// second more for dead letters. When it has returned nothing calls the runtime
	// any more, but what an application's code held up then, once that goes on. What
	// Stop has given up on (code of the application's that does not return) may call
	// Changed, Ended and Relay even later: then they do nothing.
	Leave(ctx context.Context) error

	// Changed tells that a topic or a uid has its first member on this node, or
	// has lost its last, or (to [ToAll]) the node its first or last channel. It is
	// called under a lock of the registry, which it must not call. There is
	// no more to it than "look again": later, and with registry.Has.
	Changed(of Audience)

	// Opened tells of a channel before its handler's Open, and Ended of the same
	// one after its Close has returned: each once, from the channel's actor. The
	// channel's Done is closed behind Ended, which must not wait for it.
	Opened(c *Channel)
	Ended(c *Channel)

	// Message is what a message to a channel's PID means: the *[Push] or *[Close] that the
	// cluster's own form of it stands for, and any other message itself. It is called by who
	// sends. With an error the message is a dead letter.
	Message(m any) (any, error)

	// Relay hands a broadcast on to the nodes that have members of its audience,
	// each of which gives what encode returns to [Runtime.Deliver]. It is called
	// before the members on this node have it, by the publisher's own goroutine, so
	// that to each node one publisher's broadcasts go in the order in which they
	// were made. encode is called once, before Relay returns, and only if some node
	// has members. Relay returns encode's error, as it is, and no other: what a node
	// has no room for is lost there and the cluster's to report, and no reason for
	// the publisher to wait.
	Relay(to Audience, encode func() ([]byte, error)) error

	Nodes
}

// Nodes is what code that runs on every node, as package events, needs of the others;
// see [Runtime.Nodes]. What it says of them is what this node knows: true of them a
// moment ago.
type Nodes interface {
	// Announce says whether this node has a name in a set, [OnlineSet] or [TopicSet], and to say
	// what is so already changes nothing. It may be called under a lock that what Follow
	// calls takes. Names are UTF-8.
	Announce(set Set, name string, here bool)

	// Name is what the other nodes call this one.
	Name() string

	// Others are the names of the other nodes that are up.
	Others() []string

	// Meet has f called each time another node comes up, or hears of a new life of this
	// one, on a goroutine of its own: what was asked of it until then it may have missed. ctx
	// ends when it is gone, or the runtime leaves, which waits for f to return.
	Meet(f func(ctx context.Context, node string))

	// Holders are the other nodes that have the name, by their names.
	Holders(set Set, name string) []string

	// Follow has f told of the names that other nodes have in a set, OnlineSet or TopicSet: which some have,
	// and then which some or none have. It is told in order, on one goroutine which it is not
	// to hold up, perhaps of what it knows already. Lost is with none: the last node that had the
	// name is gone itself. It ends with the runtime.
	Follow(set Set, f func(name string, some, lost bool))

	// Ask asks a service of another node, and waits for the answer or the end of ctx, of
	// which that node is told. The error says what f has returned there, or that the
	// node was lost, is busy, or has no such service.
	Ask(ctx context.Context, node, service string, data []byte) ([]byte, error)

	// Serve has f answer what other nodes ask of a service: each question on a
	// goroutine of its own. Its ctx ends when nobody waits for the answer any more. Names that
	// begin with "troupe/" are for troupe's own packages, and each is taken once; their
	// questions have a share of their own, but for "troupe/clients/", of those that take long.
	Serve(service string, f func(ctx context.Context, from string, data []byte) ([]byte, error))
}

// Set is a set of names of which each node has some, and tells the others. Those of the
// audiences are numbered as their kinds: Set(ToUID) are the uids of a node's channels. The runtime
// announces them.
type Set uint8

// The sets that are announced and followed. Package events has both.
const (
	OnlineSet Set = 8 // who is online
	TopicSet  Set = 9 // who is in a topic
)

// Nodes is the runtime's link to other nodes; nil, where it has no [Config].Cluster.
func (rt *Runtime) Nodes() Nodes {
	if rt.cfg.Cluster == nil {
		return nil
	}
	return rt.cfg.Cluster
}

// Audience is whom a broadcast is for: a topic's, a uid's or, without a Name, all
// channels.
type Audience struct {
	Kind AudienceKind
	Name string // "" for ToAll
}

// AudienceKind is what an audience is of.
type AudienceKind = registry.Kind

// The kinds of audiences.
const (
	ToTopic = registry.OfTopic
	ToUID   = registry.OfUID
	ToAll   = registry.OfAll
)

// Wire carries the packets of an endpoint to the endpoint of the same Name on other
// nodes, where they have a Note that matters: see [Options].Wire. Its methods may be
// called from any goroutine.
type Wire interface {
	// AppendPacket writes a packet that is broadcast [Only] for the endpoint. An
	// error is the publisher's.
	AppendPacket(dst []byte, p *transport.Packet) ([]byte, error)

	// ParsePacket makes it again from what another node's AppendPacket wrote,
	// perhaps one of another version. It takes ownership of b.
	ParsePacket(b []byte) (*transport.Packet, error)
}

// Local keeps a broadcast on this node, if there are others. For others than
// broadcasts it means nothing.
func Local() SendOption { return sendOption(func(s *sendOptions) { s.local = true }) }

// undo ends what Start has begun, once that fails.
func (rt *Runtime) undo(begun bool) {
	ctx, cancel := context.WithTimeout(context.Background(), forced)
	defer cancel()
	// What matters is why it failed, not how this does.
	if begun {
		_ = rt.cfg.Cluster.Leave(ctx)
	}
	if rt.reg != nil {
		rt.reg.Stop()
	}
	rt.timers.Close()
	if rt.poller != nil {
		_ = rt.poller.Close()
	}
	_ = rt.disp.Close(ctx)
	if rt.ownSystem {
		rt.system.Shutdown()
	}
}
