package main

import "github.com/asynkron/protoactor-go/actor"

// Price is a symbol's price: to the market it is new, from the market it is
// for whoever watches the symbol.
type Price struct {
	Symbol string
	Value  float64
}

// Subscribe asks the market to send every Price of a symbol to the sender, for
// as long as that lives.
type Subscribe struct{ Symbol string }

// Count asks the market how many watch a symbol. The answer is an int.
type Count struct{ Symbol string }

// market is a plain actor. That some of the PIDs it knows have a client at the
// other end of a socket makes no difference to it.
type market struct {
	prices   map[string]float64
	watchers map[string]*actor.PIDSet
}

func newMarket() actor.Actor {
	return &market{prices: make(map[string]float64), watchers: make(map[string]*actor.PIDSet)}
}

func (m *market) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *Subscribe:
		ctx.Watch(ctx.Sender())
		if m.watchers[msg.Symbol] == nil {
			m.watchers[msg.Symbol] = actor.NewPIDSet()
		}
		m.watchers[msg.Symbol].Add(ctx.Sender())
		if value, ok := m.prices[msg.Symbol]; ok {
			ctx.Respond(&Price{msg.Symbol, value})
		}
	case *Price:
		m.prices[msg.Symbol] = msg.Value
		if pids, ok := m.watchers[msg.Symbol]; ok {
			pids.ForEach(func(_ int, pid *actor.PID) { ctx.Send(pid, msg) })
		}
	case *actor.Terminated: // however its channel ended
		for symbol, pids := range m.watchers {
			if pids.Remove(msg.Who); pids.Empty() {
				delete(m.watchers, symbol)
			}
		}
	case *Count:
		n := 0
		if pids, ok := m.watchers[msg.Symbol]; ok {
			n = pids.Len()
		}
		ctx.Respond(n)
	}
}
