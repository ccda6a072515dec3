package registry

import (
	"github.com/asynkron/protoactor-go/actor"
)

// PublishTopic, sent to any of the registry's PIDs, is Publish: to the members of this
// registry, whatever node the sender is on.
type PublishTopic struct {
	Topic   string
	Message any
}

// ToUID, sent to any of the registry's PIDs, is SendUID.
type ToUID struct {
	UID     string
	Message any
}

// ToAll, sent to any of the registry's PIDs, is SendAll.
type ToAll struct {
	Message any
}

// turn is what a shard sends itself while it has something to do. At most one
// that counts is in the mailbox: shard.token.
type turn struct{ _ byte }

// courier is the actor of a shard. It has no state but the shard, so that it
// may crash, be stopped by somebody and come back.
type courier struct{ shard *shard }

// Receive takes turns. Any other message renews the token first: if a bounded
// mailbox, full of such messages, refused the token, the last of them brings it
// back.
func (c courier) Receive(ctx actor.Context) {
	sh := c.shard
	if token, ok := ctx.Message().(*turn); ok {
		sh.takeTurn(token)
		return
	}
	sh.renew()
	var err error
	switch m := ctx.Message().(type) {
	case *PublishTopic:
		err = c.route(ctx, sh.registry.shardOf(m.Topic), OfTopic, m.Topic, m.Message)
	case *ToUID:
		err = c.route(ctx, sh.registry.shardOf(m.UID), OfUID, m.UID, m.Message)
	case *ToAll:
		err = c.route(ctx, sh.registry.everyone, OfAll, "", m.Message)
	case *actor.Terminated:
		sh.terminated(m.Who)
	case *actor.Stopped:
		sh.revive(ctx)
	case *actor.Started, *actor.Stopping, *actor.Restarting:
	default:
		err = errUnknownMessage
	}
	if err != nil {
		ctx.ActorSystem().DeadLetter.SendUserMessage(ctx.Self(),
			&actor.MessageEnvelope{Message: ctx.Message(), Sender: ctx.Sender()})
	}
	sh.mu.Lock()
	sh.release()
}

// route publishes, or passes the message on to the shard that has the set.
func (c courier) route(ctx actor.Context, to *shard, k Kind, name string, msg any) error {
	if to != c.shard {
		ctx.Forward(to.pid)
		return nil
	}
	return to.publish(k, name, msg, nil)
}

// renew makes the token in the mailbox, if there is one, stale.
func (sh *shard) renew() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.busy() || sh.awake {
		sh.token = &turn{}
		sh.awake = false
	}
}

// turnMembers is to how many members a turn delivers: soon they have theirs, while
// what they need of memory is still near.
const turnMembers = 512

// turnMessages is how many messages a member may have been given when a turn goes
// on: its own turn should come before its mailbox is full.
const turnMessages = 64

// takeTurn makes steps worth turnMembers deliveries, or turnMessages or a wave's
// bytes to a member, then lets others use the goroutine.
func (sh *shard) takeTurn(token *turn) {
	sh.mu.Lock()
	defer sh.release() // sends the token again if there is more to do
	if token != sh.token {
		return
	}
	most, room := sh.registry.together.get()
	most = min(most, turnMessages)
	for delivered, messages, bytes := 0, 0, 0; delivered < turnMembers && messages < most && bytes < room; {
		if sh.stepping || !sh.busy() {
			break // who steps now sees to the rest
		}
		n, each, size := sh.step()
		delivered += n
		messages += max(1, each)
		bytes += size
	}
	sh.awake = false
}

// props of the actor of sh. All share protoactor's own strategy value: a
// guardian is kept for ever for each.
func (sh *shard) props(options []actor.PropsOption) *actor.Props {
	props := actor.PropsFromProducer(func() actor.Actor { return courier{sh} },
		actor.WithGuardian(actor.RestartingSupervisorStrategy()))
	return props.Configure(options...)
}

// revive spawns the actor again, under its name, after somebody stopped it.
func (sh *shard) revive(ctx actor.Context) {
	sh.mu.Lock()
	stopped := sh.stopped
	// Until its Started nobody sends it a token: protoactor shows an actor
	// before its mailbox is ready.
	sh.awake = true
	sh.mu.Unlock()
	if stopped {
		return
	}
	root := ctx.ActorSystem().Root
	pid, err := root.SpawnNamed(sh.props(sh.registry.options), sh.pid.Id)
	if err != nil {
		sh.report("the actor of a shard did not come back", err)
		return
	}
	sh.mu.Lock()
	stopped = sh.stopped
	sh.mu.Unlock()
	if stopped { // Stop came first and has stopped the one before
		root.Stop(pid)
	}
}
