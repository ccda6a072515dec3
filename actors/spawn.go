package actors

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/twmb/murmur3"

	"github.com/troupe-actors/troupe/supervisor"
)

// process is the channel as protoactor's registry sees it: messages to its PID
// go straight to its mailbox, whichever actor context is behind that.
type process Channel

func (p *process) SendUserMessage(_ *actor.PID, message any) {
	(*Channel)(p).box.PostUserMessage(message)
}

func (p *process) SendSystemMessage(_ *actor.PID, message any) {
	(*Channel)(p).box.PostSystemMessage(message)
}

func (p *process) Stop(*actor.PID) { (*Channel)(p).box.PostSystemMessage(&actor.Stop{}) }

// nextName is unique in this runtime and, by its epoch, among all others.
//
// Protoactor spreads its registry over 32,768 maps. With some ten thousand
// channels most of the maps they are in would hold one entry, and such a map
// takes 340 bytes. So names are tried until one falls into a share of the maps
// that is small enough to be filled and large enough to spread the locks; a system
// of our own has no others.
func (rt *Runtime) nextName() string {
	buckets := uint32(len(rt.system.ProcessRegistry.LocalPIDs.LocalPIDs))
	var room [48]byte // more than a name takes
	name := append(append(room[:0], rt.epoch...), '-')
	digits := len(name)
	for {
		name = strconv.AppendUint(name[:digits], rt.names.Add(1), 36)
		if murmur3.Sum32(name)%buckets < sharedBuckets { // as protoactor finds the bucket
			return string(name)
		}
	}
}

// sharedBuckets is how many of protoactor's 1,024 buckets channels live in.
const sharedBuckets = 32

// narrow leaves a new system, which nobody uses yet, no more buckets than channels
// need: their maps would be three megabytes, and every collection would look at each.
// Then all names fall where they should.
func narrow(system *actor.ActorSystem) {
	pids := system.ProcessRegistry.LocalPIDs
	all := pids.LocalPIDs
	pids.LocalPIDs = slices.Clone(all[:sharedBuckets])
	for _, b := range all[sharedBuckets:] {
		b.IterCb(func(id string, p any) { pids.GetBucket(id).Set(id, p) })
	}
}

// spawner makes one actor at a time, and knows for which channel: protoactor
// calls the producers of props without saying so. Nothing is locked while the
// application's own producer runs.
type spawner struct {
	ep          *Endpoint
	props, mute *actor.Props // of the behavior; of a handler that does nothing
	pending     *Channel
	made        func() // ends the call in which a handler is made for a stuck one
}

// spawner takes one that is not in use.
func (ep *Endpoint) spawner() *spawner {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if last := len(ep.spawners) - 1; last >= 0 {
		s := ep.spawners[last]
		ep.spawners = ep.spawners[:last]
		return s
	}
	s := &spawner{ep: ep}
	ours := []actor.PropsOption{
		actor.WithGuardian(ep.guardian),
		actor.WithMailbox(func() actor.Mailbox { return &s.pending.box }),
		actor.WithOnInit(s.adopt),
	}
	s.props = ep.props.Clone(ours...)
	s.mute = actor.PropsFromFunc(func(actor.Context) {}, ours...)
	return s
}

// spawn gives c an actor under the given name: one of the behavior, or a mute
// one.
func (ep *Endpoint) spawn(c *Channel, mute bool, name string) (err error) {
	s := ep.spawner()
	s.pending = c
	if c.pid != nil && ep.light == nil { // not the first: its mailbox is being drained here
		c.where = inMaking
		call := c.box.Begin(inMaking)
		s.made = func() { c.box.End(call) }
	}
	defer func() {
		if reason := recover(); reason != nil {
			s.commit()
			err = fmt.Errorf("actors: making a handler panicked: %v", reason)
			ep.rt.system.ProcessRegistry.LocalPIDs.GetBucket(name).Remove(name)
		}
		s.pending = nil
		ep.mu.Lock()
		ep.spawners = append(ep.spawners, s)
		ep.mu.Unlock()
	}()
	props := s.props
	if mute {
		props = s.mute
	}
	_, err = ep.rt.system.Root.SpawnNamed(props, name)
	return err
}

// adopt runs when the pending channel's actor context exists and nothing was
// sent to it yet. It puts the channel in the registry in place of what
// protoactor put there, and gives a context that replaces a stuck one, which
// was spawned under a name of its own, the name of the channel.
func (s *spawner) adopt(ctx actor.Context) {
	c, pids := s.pending, s.ep.rt.system.ProcessRegistry.LocalPIDs
	self := ctx.Self()
	if c.pid != nil {
		pids.GetBucket(self.Id).Remove(self.Id)
		self.Id = c.pid.Id
		s.commit() // from here on the mailbox is changed
		return
	}
	c.pid = self
	pids.GetBucket(self.Id).Set(self.Id, (*process)(c))
}

// commit ends the application's part of a spawn. If that was fenced off
// meanwhile, it does not return.
func (s *spawner) commit() {
	if made := s.made; made != nil {
		s.made = nil
		made()
	}
}

// respawn gives the channel a fresh actor context while the old one is in the
// hands of a handler that does not return. If no handler can be made, or making
// it got stuck as well, one that does nothing sees the channel to its end.
func (c *Channel) respawn(mute bool) {
	for _, child := range c.orphans() {
		c.ep.rt.system.Root.Stop(child)
	}
	if !mute {
		err := c.ep.spawn(c, false, c.pid.Id+"/"+c.ep.rt.nextName())
		c.where = inNothing
		if err == nil {
			return
		}
		c.ep.rt.log.Error("replacing a stuck handler", "id", c.pid.Id, supervisor.Text("err", err))
	}
	c.finishWith(ending{cause: supervisor.CauseHandlerStuck})
	if err := c.ep.spawn(c, true, c.pid.Id+"/"+c.ep.rt.nextName()); err != nil {
		c.ep.rt.log.Error("replacing a stuck handler by none", "id", c.pid.Id, supervisor.Text("err", err))
	}
	c.where = inNothing
}

// rememberChildren keeps track of the children that handlers spawn, so that
// those of a stuck one can be stopped without asking its context.
func (rt *Runtime) rememberChildren(next actor.SpawnFunc) actor.SpawnFunc {
	return func(system *actor.ActorSystem, id string, props *actor.Props, parent actor.SpawnerContext) (*actor.PID, error) {
		pid, err := next(system, id, props, parent)
		if c := lookup(system, parent.Self().Id); err == nil && c != nil {
			c.mu.Lock()
			a := c.asideLocked()
			if len(a.family) == cap(a.family) { // before it grows: those that have ended
				a.family = slices.DeleteFunc(a.family, func(child *actor.PID) bool {
					_, alive := system.ProcessRegistry.GetLocal(child.Id)
					return !alive
				})
			}
			a.family = append(a.family, pid)
			c.mu.Unlock()
		}
		return pid, err
	}
}

// orphans are the children spawned and not known to have ended.
func (c *Channel) orphans() []*actor.PID {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aside == nil {
		return nil
	}
	family := c.aside.family
	c.aside.family = nil
	return family
}
