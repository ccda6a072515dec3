package memberlist

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	hashi "github.com/hashicorp/memberlist"
)

// meet asks those who should be members and are not, until Leave or Stop: the seeds, and
// who was lost lately. While this node is alone it asks more often at first. The
// library meets nobody again by itself once it has forgotten that they died.
func (p *Provider) meet(list *hashi.Memberlist, own string) {
	wait := p.cfg.FailAfter / 40
	for alone := true; !p.left(); {
		targets := p.missing(own)
		p.ask(list, targets)
		if met := len(p.nodes.members()) > 0; met || !alone {
			wait, alone = p.cfg.FailAfter, false
		} else if wait = min(2*wait, p.cfg.FailAfter); wait == p.cfg.FailAfter && len(targets) > 0 && p.nodes.first("alone") {
			p.cfg.Logger.Warn("membership: nobody answers yet; going on to ask", "asked", targets)
		}
		next := time.NewTimer(wait*3/4 + rand.N(wait/2)) // not all at once
		select {
		case <-next.C:
		case <-p.ctx.Done():
			next.Stop()
			return
		}
	}
}

// missing are the gossip addresses to ask, the seeds' first: IP:port, each once.
func (p *Provider) missing(own string) []string {
	var addrs []string
	for _, seed := range p.cfg.Join {
		host, port, _ := net.SplitHostPort(seed) // checked by New
		ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		cancel()
		if err != nil && p.ctx.Err() == nil && p.nodes.first("seed "+seed) {
			p.cfg.Logger.Warn("membership: an address to join has no IP address yet", "join", seed, "error", err)
		}
		for _, ip := range ips {
			addrs = append(addrs, net.JoinHostPort(ip.Unmap().String(), port))
		}
	}
	addrs = append(addrs, p.nodes.lostAddrs()...)
	seen := map[string]bool{own: true}
	return slices.DeleteFunc(addrs, func(addr string) bool {
		again := seen[addr]
		seen[addr] = true
		return again || p.nodes.isAlive(addr)
	})
}

// ask exchanges what is known with the nodes at addrs, several at a time, of which
// some may be members by the time it is their turn.
func (p *Provider) ask(list *hashi.Memberlist, addrs []string) {
	var all sync.WaitGroup
	defer all.Wait()
	turn := make(chan struct{}, dialsAtOnce)
	for _, addr := range addrs {
		turn <- struct{}{}
		if p.ctx.Err() != nil {
			return
		}
		if p.nodes.isAlive(addr) {
			<-turn
			continue
		}
		all.Go(func() {
			defer func() { <-turn }()
			// Two nodes which believe of each other that they died tell each other
			// so, and only then object; the second exchange carries the objections.
			for range 2 {
				if _, err := list.Join([]string{addr}); err != nil || p.nodes.isAlive(addr) {
					return // err is logged by the library
				}
			}
		})
	}
}
