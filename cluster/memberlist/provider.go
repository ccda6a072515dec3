package memberlist

import (
	"context"
	"fmt"
	"log"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	hashi "github.com/hashicorp/memberlist"

	"github.com/troupe-actors/troupe/cluster/membership"
)

// Provider is a [membership.Provider] by gossip.
//
// Its Update spreads within about a second, sooner than changed lists of others
// are told of it. Its Leave returns when the library has sent the word as often as
// it is to be sent, which nobody acknowledges, and within FailAfter/2 at the
// latest. Its Stop waits for a Leave that has not returned; when it returns, all
// sockets are closed and nothing is called any more, while a timer of the library,
// which holds nothing but itself, may end up to FailAfter/4 later.
type Provider struct {
	cfg   Config
	reach func(addr string) bool // of a test: see transport
	tune  func(*hashi.Config)    // of a test

	wake chan struct{} // nodes → report: something may have changed
	done sync.WaitGroup

	mu      sync.Mutex
	self    membership.Member // guarded by mu
	list    *hashi.Memberlist // nil until Start; guarded by mu
	addr    string            // where others reach it; guarded by mu
	end     context.CancelFunc
	ctx     context.Context
	leaving chan struct{} // closed when the word has been sent; guarded by mu
	stopped bool          // guarded by mu

	nodes nodes
}

var _ membership.Provider = (*Provider)(nil)

// New returns a provider that has not started. A value cfg must not have is a
// *[ConfigError].
func New(cfg Config) (*Provider, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Provider{cfg: cfg, wake: make(chan struct{}, 1)}
	p.nodes = nodes{log: cfg.Logger, changed: p.wake}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p, nil
}

// Addr is where others reach this provider, IP:port, for their Join: "" until
// Start has returned.
func (p *Provider) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

// Start does what [membership.Provider] says; an address that cannot be bound is
// an error.
func (p *Provider) Start(self membership.Member, changed func([]membership.Member)) error {
	if err := self.Validate(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list != nil || p.stopped {
		return membership.ErrStarted
	}
	p.nodes.begin(self)
	list, addr, err := p.open(self)
	if err != nil {
		return fmt.Errorf("memberlist: start at %s: %w", p.cfg.BindAddr, err)
	}
	p.self, p.list, p.addr = self, list, addr
	p.done.Go(func() { p.report(changed) })
	p.done.Go(func() { p.meet(list, addr) })
	return nil
}

// open starts the library.
func (p *Provider) open(self membership.Member) (*hashi.Memberlist, string, error) {
	c := p.cfg.gossip()
	c.Name = gossipName(self)
	c.Logger = log.New(&logging{to: p.cfg.Logger, ctx: p.ctx}, "", 0)
	if p.tune != nil {
		p.tune(c)
	}
	c.Delegate, c.Events, c.Alive = &p.nodes, &p.nodes, &p.nodes

	bind, _ := parseAddr(p.cfg.BindAddr) // checked by New
	t, err := newTransport(bind.Addr().String(), int(bind.Port()), c.Logger, p.reach)
	if err != nil {
		return nil, "", err
	}
	c.Transport, c.BindAddr, c.BindPort = t, bind.Addr().String(), t.GetAutoBindPort()
	c.AdvertisePort = c.BindPort
	if to, err := parseAddr(p.cfg.AdvertiseAddr); err == nil {
		c.AdvertiseAddr = to.Addr().String()
		if to.Port() != 0 {
			c.AdvertisePort = int(to.Port())
		}
	}
	ip, port, err := t.FinalAdvertiseAddr(c.AdvertiseAddr, c.AdvertisePort)
	if err != nil {
		t.Shutdown()
		return nil, "", err
	}
	list, err := hashi.Create(c)
	if err != nil {
		t.Shutdown()
		return nil, "", err
	}
	return list, net.JoinHostPort(ip.String(), strconv.Itoa(port)), nil
}

// report tells changed what there is, until Stop.
func (p *Provider) report(changed func([]membership.Member)) {
	var told []membership.Member
	for {
		select {
		case <-p.wake:
		case <-p.ctx.Done():
			return
		}
		p.mu.Lock()
		self := p.self
		p.mu.Unlock()
		all := p.nodes.members()
		for _, m := range all {
			if m.Name == self.Name {
				p.namesake(self, m)
			}
		}
		if view := membership.View(self, all); !slices.Equal(view, told) {
			told = slices.Clone(view)
			changed(view)
		}
	}
}

// namesake logs another process of this node's name, once.
func (p *Provider) namesake(self, other membership.Member) {
	if !p.nodes.first("namesake " + gossipName(other)) {
		return
	}
	attrs := []any{"name", other.Name, "addr", other.Addr, "epoch", other.Epoch, "own_addr", self.Addr, "own_epoch", self.Epoch}
	if other.Epoch > self.Epoch {
		p.cfg.Logger.Error("membership: another node has this node's name and a later epoch: others believe it and not this one", attrs...)
	} else {
		p.cfg.Logger.Warn("membership: an earlier epoch of this node's name is a member: its earlier run, or two nodes that have one name", attrs...)
	}
}

// Update does what [membership.Provider] says.
func (p *Provider) Update(self membership.Member) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.list == nil || p.stopped:
		return membership.ErrNotRunning
	case p.leaving != nil:
		return membership.ErrLeft
	}
	if err := membership.SameNode(p.self, self); err != nil {
		return err
	}
	p.self = self
	p.nodes.update(self)
	// Its only error is that the time has passed before the word was sent, and the
	// word is sent all the same.
	_ = p.list.UpdateNode(time.Nanosecond)
	return nil
}

func (p *Provider) left() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving != nil
}

// Leave does what [membership.Provider] says.
func (p *Provider) Leave(ctx context.Context) error {
	p.mu.Lock()
	if p.list == nil || p.stopped {
		p.mu.Unlock()
		return membership.ErrNotRunning
	}
	if p.leaving == nil {
		leaving := make(chan struct{})
		p.leaving = leaving
		list := p.list
		p.done.Go(func() {
			defer close(leaving)
			// Its only error is that there was nobody to tell in that time: the
			// others leave, too, or cannot be reached.
			_ = list.Leave(p.cfg.FailAfter / 2)
		})
	}
	leaving := p.leaving
	p.mu.Unlock()
	select {
	case <-leaving:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop does what [membership.Provider] says.
func (p *Provider) Stop() error {
	p.mu.Lock()
	p.stopped = true
	list, leaving := p.list, p.leaving
	p.mu.Unlock()
	p.end()
	var err error
	if list != nil {
		if leaving != nil {
			<-leaving // to leave after the end is a panic
		}
		err = list.Shutdown()
	}
	p.done.Wait()
	return err
}
