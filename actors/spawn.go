package actors

import (
	"strconv"

	"github.com/asynkron/protoactor-go/actor"

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
func (rt *Runtime) nextName() string {
	return rt.epoch + "-" + strconv.FormatUint(rt.names.Add(1), 36)
}

// adopt runs when the pending channel's actor context exists and nothing was
// sent to it yet. It puts the channel in the registry in place of what
// protoactor put there, and gives a context that replaces a stuck one, which
// was spawned under a name of its own, the name of the channel.
func (ep *Endpoint) adopt(ctx actor.Context) {
	c, pids := ep.pending, ep.rt.system.ProcessRegistry.LocalPIDs
	self := ctx.Self()
	if self.Id != c.id {
		pids.GetBucket(self.Id).Remove(self.Id)
		self.Id = c.id
		return
	}
	c.pid = self
	pids.GetBucket(c.id).Set(c.id, (*process)(c))
}

// respawn gives the channel a fresh actor context while the old one is in the
// hands of a handler that does not return. If no handler can be made, one that
// does nothing sees the channel to its end.
func (c *Channel) respawn() {
	for _, child := range c.orphans() {
		c.ep.rt.system.Root.Stop(child)
	}
	err := c.ep.spawn(c, c.ep.props, c.id+"/"+c.ep.rt.nextName())
	if err == nil {
		return
	}
	c.ep.rt.log.Error("replacing a stuck handler", "id", c.id, "err", err)
	c.finishWith(ending{cause: supervisor.CauseHandlerStuck, err: err})
	if err := c.ep.spawn(c, c.ep.mute, c.id+"/"+c.ep.rt.nextName()); err != nil {
		c.ep.rt.log.Error("replacing a stuck handler by none", "id", c.id, "err", err)
	}
}

// rememberChildren keeps track of the children that handlers spawn, so that
// those of a stuck one can be stopped without asking its context.
func (rt *Runtime) rememberChildren(next actor.SpawnFunc) actor.SpawnFunc {
	return func(system *actor.ActorSystem, id string, props *actor.Props, parent actor.SpawnerContext) (*actor.PID, error) {
		pid, err := next(system, id, props, parent)
		if c := lookup(system, parent.Self().Id); err == nil && c != nil {
			c.mu.Lock()
			c.family = append(c.family, pid)
			c.mu.Unlock()
		}
		return pid, err
	}
}

// orphans are the children spawned and not known to have ended.
func (c *Channel) orphans() []*actor.PID {
	c.mu.Lock()
	defer c.mu.Unlock()
	family := c.family
	c.family = nil
	return family
}

// forget drops a child that has ended.
func (c *Channel) forget(pid *actor.PID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, child := range c.family {
		if child.Equal(pid) {
			c.family = append(c.family[:i], c.family[i+1:]...)
			return
		}
	}
}
