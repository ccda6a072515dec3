package main

import (
	"slices"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// latency is of questions to a channel, from when each was to be asked.
type latency struct {
	Asked, Failed int
	Median, P90   time.Duration
}

const pingEvery = 10 * time.Millisecond

// ping asks a channel again and again, whether or not it answers, for some time.
func (n *node) ping(to *actor.PID, during time.Duration) (l latency) {
	var mu sync.Mutex
	var took []time.Duration
	var asked sync.WaitGroup
	began := time.Now()
	for at := began; at.Sub(began) < during; at = at.Add(pingEvery) {
		time.Sleep(time.Until(at)) // the pace itself
		l.Asked++
		f := n.rt.System().Root.RequestFuture(to, Ping{l.Asked}, patience)
		asked.Go(func() {
			_, err := f.Result()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				l.Failed++
				return
			}
			took = append(took, time.Since(at))
		})
	}
	asked.Wait()
	if slices.Sort(took); len(took) > 0 {
		l.Median, l.P90 = took[len(took)/2], took[len(took)*9/10]
	}
	return l
}
