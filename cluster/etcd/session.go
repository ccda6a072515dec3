package etcd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/troupe-actors/troupe/cluster/membership"
)

// view is what run knows; nobody else touches it.
type view struct {
	p       *Provider
	client  *clientv3.Client             // nil until there is one
	lease   clientv3.LeaseID             // the latest, 0 for none
	found   map[string]membership.Member // by key below the prefix, without this node's
	away    bool                         // etcd was, or this node, and the others may still be
	missed  map[string]membership.Member // known before that and not found since
	told    []membership.Member
	changed func([]membership.Member)
}

var (
	errLeaseEnded = errors.New("the lease was not renewed in time")
	errWatchEnded = errors.New("the watch ended")
)

// session registers this node, fetches the members and watches them from the
// revision of the fetch on, until something of that fails, or left.
func (v *view) session() (left bool, _ error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(v.p.ctx))
	defer cancel()
	if err := v.connect(); err != nil {
		return false, err
	}
	if _, leaving := v.p.state(); leaving {
		return v.leave(ctx)
	}
	renewed, err := v.register(ctx)
	if err != nil {
		return false, err
	}
	next, err := v.fetch(ctx)
	if err != nil {
		return false, err
	}
	changes, err := v.watch(ctx, next)
	if err != nil {
		return false, err
	}
	others := time.NewTimer(2 * v.p.cfg.TTL)
	defer others.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case _, ok := <-renewed:
			if !ok {
				return false, errLeaseEnded
			}
		case some, ok := <-changes:
			if !ok {
				return false, errWatchEnded
			}
			if err := some.Err(); err != nil {
				return false, fmt.Errorf("watch: %w", err)
			}
			for _, e := range some.Events {
				v.see(string(e.Kv.Key), e.Kv.Value, e.Type == clientv3.EventTypePut)
			}
			v.tell()
		case <-others.C: // have had time to come back, and leases of before to end
			if len(changes) > 0 { // one of them, perhaps
				others.Reset(time.Millisecond)
				continue
			}
			v.away = false
			clear(v.missed)
			v.tell()
		case <-v.p.poke:
			if _, leaving := v.p.state(); leaving {
				return v.leave(ctx)
			}
			if err := v.put(ctx); err != nil {
				return false, err
			}
			v.tell()
		}
	}
}

// connect makes the client, which then connects again by itself. Only with a user
// does it ask etcd for anything.
func (v *view) connect() error {
	if v.client != nil {
		return nil
	}
	cfg := v.p.cfg
	client, err := clientv3.New(clientv3.Config{
		Context:              v.p.ctx,
		Endpoints:            cfg.Endpoints,
		TLS:                  cfg.TLS,
		Username:             cfg.Username,
		Password:             cfg.Password,
		DialTimeout:          cfg.TTL,
		DialOptions:          []grpc.DialOption{grpc.WithConnectParams(cfg.tries())},
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		Logger:               zap.NewNop(),
	})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	v.client = client
	return nil
}

func (v *view) close() {
	if v.client != nil {
		v.client.Close()
	}
}

// register gives this node a lease, of which it returns the renewals, and puts
// its key. An earlier lease ends by itself.
func (v *view) register(ctx context.Context) (<-chan *clientv3.LeaseKeepAliveResponse, error) {
	short, cancel := context.WithTimeout(ctx, v.p.cfg.TTL)
	defer cancel()
	lease, err := v.client.Grant(short, int64(v.p.cfg.TTL/time.Second))
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	v.lease = lease.ID
	renewed, err := v.client.KeepAlive(ctx, lease.ID)
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	return renewed, v.put(ctx)
}

// put writes this node's key.
func (v *view) put(ctx context.Context) error {
	self, _ := v.p.state()
	ctx, cancel := context.WithTimeout(ctx, v.p.cfg.TTL)
	defer cancel()
	if _, err := v.client.Put(ctx, v.p.cfg.prefix()+key(self), encode(self), clientv3.WithLease(v.lease)); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	return nil
}

// fetch reads all members and returns the revision after that. Who was known and is not
// among them is missed.
func (v *view) fetch(ctx context.Context) (next int64, _ error) {
	ctx, cancel := context.WithTimeout(ctx, v.p.cfg.TTL)
	defer cancel()
	all, err := v.client.Get(ctx, v.p.cfg.prefix(), clientv3.WithPrefix())
	if err != nil {
		return 0, fmt.Errorf("fetch: %w", err)
	}
	maps.Copy(v.missed, v.found)
	clear(v.found)
	for _, kv := range all.Kvs {
		v.see(string(kv.Key), kv.Value, true)
	}
	v.tell()
	return all.Header.Revision + 1, nil
}

// watch begins to watch the members from a revision on. It waits for etcd, as the client's
// Watch does, but not for ever: a lease that ends meanwhile would not be seen.
func (v *view) watch(ctx context.Context, from int64) (clientv3.WatchChan, error) {
	ctx, cancel := context.WithCancel(ctx) // the session's end cancels it, too
	late := time.AfterFunc(v.p.cfg.TTL, cancel)
	changes := v.client.Watch(ctx, v.p.cfg.prefix(), clientv3.WithPrefix(), clientv3.WithRev(from))
	if !late.Stop() {
		return nil, fmt.Errorf("watch: %w", context.DeadlineExceeded)
	}
	return changes, nil
}

// see takes one key that was put or deleted.
func (v *view) see(at string, b []byte, put bool) {
	self, _ := v.p.state()
	k := strings.TrimPrefix(at, v.p.cfg.prefix())
	if k == key(self) {
		return
	}
	if was, ok := v.found[k]; ok && !put && v.away {
		v.missed[k] = was // its lease of before may have ended
	}
	delete(v.found, k)
	if !put {
		return
	}
	m, err := decode(k, b)
	if err != nil {
		v.p.cfg.Logger.Warn("membership: a key is ignored", "key", at, "error", err)
		return
	}
	v.found[k] = m
	maps.DeleteFunc(v.missed, func(_ string, was membership.Member) bool { return was.Name == m.Name || was.Addr == m.Addr })
	if m.Name == self.Name {
		v.namesake(self, m)
	}
}

// namesake logs another process of this node's name.
func (v *view) namesake(self, other membership.Member) {
	attrs := []any{"name", other.Name, "addr", other.Addr, "epoch", other.Epoch, "own_addr", self.Addr, "own_epoch", self.Epoch}
	if other.Epoch > self.Epoch {
		v.p.cfg.Logger.Error("membership: another node has this node's name and a later epoch: others believe it and not this one", attrs...)
	} else {
		v.p.cfg.Logger.Warn("membership: an earlier epoch of this node's name is a member: its earlier run, or two nodes that have one name", attrs...)
	}
}

// leave ends the lease, and so the key.
func (v *view) leave(ctx context.Context) (left bool, _ error) {
	if v.lease == clientv3.NoLease {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, v.p.cfg.TTL)
	defer cancel()
	self, _ := v.p.state()
	if _, err := v.client.Delete(ctx, v.p.cfg.prefix()+key(self)); err != nil {
		return false, fmt.Errorf("leave: %w", err)
	}
	_, _ = v.client.Revoke(ctx, v.lease) // otherwise it ends by itself, without a key
	return true, nil
}
