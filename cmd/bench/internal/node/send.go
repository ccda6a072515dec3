//go:build linux

package node

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-actors/troupe/cmd/bench/internal/clock"
	"github.com/troupe-actors/troupe/transport"
)

const (
	sinkName = "sink"

	// A question goes behind every so many messages, and this many may have no answer
	// yet: so nothing is lost where what waits is bounded, and nobody stands still.
	behind = 8192
	ahead  = 8
)

// sink counts messages, and tells how many when asked.
type sink struct{ had int64 }

func (s *sink) Receive(c actor.Context) {
	switch c.Message().(type) {
	case *wrapperspb.BytesValue:
		s.had++
	case *wrapperspb.Int64Value:
		c.Respond(wrapperspb.Int64(s.had))
	}
}

// flow asks other nodes' sinks how far they are.
type flow struct {
	root  *actor.RootContext
	sinks []*actor.PID
	sent  int
	open  [][]*actor.Future
}

func (n *node) flow(to []string) *flow {
	f := &flow{root: n.system.Root}
	for _, address := range to {
		f.sinks = append(f.sinks, actor.NewPID(address, sinkName))
	}
	return f
}

// one is called before each message.
func (f *flow) one() error {
	if f.sent++; f.sent%behind != 0 {
		return nil
	}
	f.mark()
	if len(f.open) <= ahead {
		return nil
	}
	_, err := f.wait()
	return err
}

func (f *flow) mark() {
	var asked []*actor.Future
	for _, s := range f.sinks {
		asked = append(asked, f.root.RequestFuture(s, wrapperspb.Int64(0), patience))
	}
	f.open = append(f.open, asked)
}

// wait is for the oldest answers, the counts added up.
func (f *flow) wait() (had int64, err error) {
	asked := f.open[0]
	f.open = f.open[1:]
	for _, a := range asked {
		answer, err := a.Result()
		if err != nil {
			return 0, err
		}
		had += answer.(*wrapperspb.Int64Value).Value
	}
	return had, nil
}

// all waits until everything is there.
func (f *flow) all() (had int64, err error) {
	f.mark()
	for len(f.open) > 0 && err == nil {
		had, err = f.wait()
	}
	return had, err
}

func (n *node) tell(o Order, r *Report) error {
	f := n.flow(o.To)
	before, err := f.all()
	if err != nil {
		return err
	}
	m := wrapperspb.Bytes(make([]byte, o.Size))
	began := time.Now()
	for range o.N {
		if err := f.one(); err != nil {
			return err
		}
		f.root.Send(f.sinks[0], m)
	}
	after, err := f.all()
	r.Seconds = time.Since(began).Seconds()
	if err == nil && after-before != int64(o.N) {
		err = fmt.Errorf("%d of %d messages arrived", after-before, o.N)
	}
	return err
}

func (n *node) ask(o Order, r *Report) error {
	to := actor.NewPID(o.To[0], sinkName)
	took := make([]float64, o.N)
	began := time.Now()
	for i := range took {
		asked := time.Now()
		if _, err := n.system.Root.RequestFuture(to, wrapperspb.Int64(0), patience).Result(); err != nil {
			return err
		}
		took[i] = float64(time.Since(asked)) / float64(time.Microsecond)
	}
	r.Seconds = time.Since(began).Seconds()
	slices.Sort(took)
	r.Micros = took[len(took)/2]
	return nil
}

func (n *node) publish(o Order, r *Report) error {
	data := make([]byte, o.Size)
	r.At = clock.Now()
	for range o.N {
		if err := n.rt.Publish(topic, transport.NewPacket(transport.Binary, data)); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) sendUsers(o Order, r *Report) error {
	f := n.flow(o.To)
	users := make([]string, o.Many)
	for i := range users {
		users[i] = o.Name + "-" + strconv.Itoa(i)
	}
	data := make([]byte, o.Size)
	began := time.Now()
	for range o.N {
		for _, uid := range users {
			if err := f.one(); err != nil {
				return err
			}
			if err := n.rt.SendUID(uid, transport.NewPacket(transport.Binary, data)); err != nil {
				return err
			}
		}
	}
	_, err := f.all()
	r.Seconds = time.Since(began).Seconds()
	return err
}
