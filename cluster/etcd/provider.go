package etcd

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/troupe-actors/troupe/cluster/membership"
)

// Provider is a [membership.Provider] by etcd. Start does not wait for etcd, which
// may come later; Leave waits for it, and returns when the key is gone.
type Provider struct {
	cfg  Config
	poke chan struct{} // Update, Leave → run: look at self and leaving
	ctx  context.Context
	end  context.CancelFunc // by Stop
	done chan struct{}      // run has ended
	gone chan struct{}      // closed by run once the key is gone after Leave

	mu      sync.Mutex
	self    membership.Member // guarded by mu
	started bool              // guarded by mu
	leaving bool              // guarded by mu
	stopped bool              // guarded by mu
}

var _ membership.Provider = (*Provider)(nil)

// New returns a provider that has not started. A value cfg must not have is a
// *[ConfigError].
func New(cfg Config) (*Provider, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Provider{cfg: cfg, poke: make(chan struct{}, 1), done: make(chan struct{}), gone: make(chan struct{})}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p, nil
}

// Start does what [membership.Provider] says.
func (p *Provider) Start(self membership.Member, changed func([]membership.Member)) error {
	if err := self.Validate(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started || p.stopped {
		return membership.ErrStarted
	}
	p.started, p.self = true, self
	go p.run(changed)
	return nil
}

// Update does what [membership.Provider] says.
func (p *Provider) Update(self membership.Member) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.started || p.stopped:
		return membership.ErrNotRunning
	case p.leaving:
		return membership.ErrLeft
	}
	if err := membership.SameNode(p.self, self); err != nil {
		return err
	}
	p.self = self
	p.look()
	return nil
}

// look makes run look at what mu guards.
func (p *Provider) look() {
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

func (p *Provider) state() (self membership.Member, leaving bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.self, p.leaving
}

// Leave does what [membership.Provider] says.
func (p *Provider) Leave(ctx context.Context) error {
	p.mu.Lock()
	if !p.started || p.stopped {
		p.mu.Unlock()
		return membership.ErrNotRunning
	}
	p.leaving = true
	p.look()
	p.mu.Unlock()
	select {
	case <-p.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.done: // Stop came first
		return membership.ErrNotRunning
	}
}

// Stop does what [membership.Provider] says.
func (p *Provider) Stop() error {
	p.mu.Lock()
	p.stopped = true
	started := p.started
	p.mu.Unlock()
	p.end()
	if started {
		<-p.done
	}
	return nil
}

// run registers, watches and tells until Stop, or until it has left.
func (p *Provider) run(changed func([]membership.Member)) {
	defer close(p.done)
	v := &view{p: p, found: map[string]membership.Member{}, missed: map[string]membership.Member{}, changed: changed}
	defer v.close()
	for fails := 0; ; fails++ {
		began := time.Now()
		left, err := v.session()
		switch {
		case p.ctx.Err() != nil:
			return
		case left:
			close(p.gone)
			<-p.ctx.Done()
			return
		}
		if time.Since(began) > p.cfg.TTL {
			fails = 0
		}
		v.away = true
		p.cfg.Logger.Warn("membership: etcd is away, or this node's lease ended; trying again", "error", err, "members_kept", len(v.told))
		again := time.NewTimer(min(100*time.Millisecond<<min(fails, 10), p.cfg.TTL/3))
		select {
		case <-again.C:
		case <-p.ctx.Done():
			again.Stop()
			return
		}
	}
}

// tell says what is found, and who is missed only now, if it differs from what was said
// last.
func (v *view) tell() {
	self, _ := v.p.state()
	all := slices.AppendSeq(slices.Collect(maps.Values(v.found)), maps.Values(v.missed))
	if list := membership.View(self, all); !slices.Equal(list, v.told) {
		v.told = slices.Clone(list)
		v.changed(list)
	}
}
