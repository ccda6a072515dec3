package actors

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/troupe-actors/troupe/transport"
)

// crowd counts the channels there are by their users and addresses, where that is
// limited. Guarded by the runtime's mutex.
type crowd struct {
	uids map[string]int
	nets map[netip.Prefix]int
}

// network is what counts as one address: of IPv6 the /64, which is what a single
// customer is given.
func network(remote string) (netip.Prefix, bool) {
	a := transport.PeerAddr(&http.Request{RemoteAddr: remote}).Addr()
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // of no address it is one, and not valid
	return p, p.IsValid()
}

// roomLocked reports which limit one more channel of the user and the address
// would go over.
func (rt *Runtime) roomLocked(uid, remote string) error {
	cfg := &rt.cfg
	if rt.live >= cfg.MaxChannels {
		return &LimitError{"MaxChannels", cfg.MaxChannels}
	}
	if cfg.MaxPerIP > 0 {
		if n, ok := network(remote); ok && rt.crowd.nets[n] >= cfg.MaxPerIP {
			return &LimitError{"MaxPerIP", cfg.MaxPerIP}
		}
	}
	if cfg.MaxPerUID > 0 && uid != "" && rt.crowd.uids[uid] >= cfg.MaxPerUID {
		return &LimitError{"MaxPerUID", cfg.MaxPerUID}
	}
	return nil
}

// enter counts a channel in, if the runtime takes it.
func (rt *Runtime) enter(c *Channel) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.state != Running {
		return ErrStopped
	}
	if err := rt.roomLocked(c.UID(), c.origin.remote()); err != nil {
		return err
	}
	rt.live++
	rt.countLocked(c, 1)
	return nil
}

// leave counts it out, then closes its Done: who waits for that finds its place free.
// Who waits for all of them finds each one's Done closed. It does so once: an actor whose
// spawning failed may have been registered all the same, and ends later.
func (rt *Runtime) leave(c *Channel) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if !c.done() {
		return
	}
	rt.countLocked(c, -1)
	rt.live--
	if rt.live == 0 && rt.empty != nil {
		close(rt.empty)
		rt.empty = nil
	}
}

func (rt *Runtime) countLocked(c *Channel, n int) {
	if rt.cfg.MaxPerUID > 0 && c.UID() != "" {
		count(&rt.crowd.uids, c.UID(), n)
	}
	if rt.cfg.MaxPerIP > 0 {
		if net, ok := network(c.origin.remote()); ok {
			count(&rt.crowd.nets, net, n)
		}
	}
}

func count[K comparable](m *map[K]int, key K, n int) {
	if *m == nil {
		*m = make(map[K]int)
	}
	if (*m)[key] += n; (*m)[key] == 0 {
		delete(*m, key)
	}
}

// admit reports why a request cannot become a channel, as far as that is known
// before the user is.
func (rt *Runtime) admit(r *http.Request) error {
	rt.mu.Lock()
	err := rt.roomLocked("", r.RemoteAddr)
	rt.mu.Unlock()
	if err == nil && rt.handshakes != nil && !rt.handshakes.Allow() {
		err = &LimitError{"HandshakeRate", rt.cfg.HandshakeRate.PerSecond}
	}
	return err
}

// client is r with the RemoteAddr that trusted proxies tell.
func (rt *Runtime) client(r *http.Request) *http.Request {
	if len(rt.cfg.TrustedProxies) == 0 {
		return r
	}
	if a := transport.ClientAddr(r, rt.cfg.TrustedProxies); a != transport.PeerAddr(r) {
		r = r.WithContext(r.Context()) // a copy: the server's own stays as it is
		r.RemoteAddr = a.String()
	}
	return r
}

// refuseLimit answers a request for which there is no room, and reports whether
// that was what is wrong.
func (ep *Endpoint) refuseLimit(w http.ResponseWriter, r *http.Request, err error) bool {
	var over *LimitError
	if !errors.As(err, &over) {
		return false
	}
	status, reason := http.StatusServiceUnavailable, "the server is overloaded"
	switch over.Limit {
	case "MaxPerIP":
		status, reason = http.StatusTooManyRequests, "too many connections of this address"
	case "MaxPerUID":
		status, reason = http.StatusTooManyRequests, "too many connections of this user"
	default:
		w.Header().Set("Retry-After", "1")
	}
	ep.refuse(w, r, status, reason)
	return true
}
