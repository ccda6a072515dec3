package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
)

// speak says the next numbered event to a session.
func (h *house) speak(s *events.Session, b *book, pad int, options ...events.SendOption) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := down{S: b.id, To: b.client, N: b.downs + 1, Pad: strings.Repeat("d", pad)}
	receipt := rand.IntN(4) == 0
	if receipt {
		options = append(options, h.receipt(s, m.N))
	}
	err := s.Send("down", m, options...)
	if err == nil {
		b.downs++
		h.downs.Add(1)
		return
	}
	if receipt {
		h.pendingReceipts.Add(-1)
	}
	if len(options) == 0 && !errors.Is(err, actors.ErrFull) && !errors.Is(err, actors.ErrClosed) {
		h.wrongf("Send: %v", err)
	}
}

// receipt looks at what becomes of a message.
func (h *house) receipt(s *events.Session, n int) events.SendOption {
	var was atomic.Uint32
	h.pendingReceipts.Add(1)
	h.receipts.Add(1)
	return events.OnReceipt(func(r events.Receipt) {
		defer h.alone(s)()
		before := events.Receipt(was.Swap(uint32(r)))
		switch {
		case before > events.Written, before == events.Written && r != events.Acknowledged && r != events.Lost,
			before == 0 && r == events.Acknowledged:
			h.wrongf("down %d of %v became %v after %v", n, s, r, before)
		case r > events.Written:
			h.pendingReceipts.Add(-1)
		}
	})
}

// drive is what the server says to a session of its own accord.
func (h *house) drive(s *events.Session, b *book) {
	for {
		select {
		case <-time.After(time.Duration(rand.ExpFloat64() * float64(400*time.Millisecond))):
		case <-s.Channel().Closing():
			return
		}
		if h.quiet.Load() {
			continue
		}
		switch k := rand.IntN(1000); {
		case k < 600:
			for range 1 + rand.IntN(4) {
				h.speak(s, b, rand.IntN(200))
			}
		case k < 640:
			h.speak(s, b, rand.IntN(50_000))
		case k < 680:
			h.speak(s, b, 10, actors.Within(200*time.Millisecond))
		case k < 720:
			h.speak(s, b, 10, actors.WithPolicy(actors.DropOldest))
		case k < 730:
			for range 2 * mailbox {
				h.speak(s, b, 1)
			}
		case k < 830:
			b.mu.Lock()
			v := down{S: b.id, To: b.client, N: int(h.states.Add(1))}
			_ = s.Send("state", v, actors.Latest("state")) // none is ever missed
			b.mu.Unlock()
		case k < 950:
			h.running.Go(func() { h.ask(s) })
		case k < 990:
			h.askThen(s)
		case k < 994:
			b.mu.Lock()
			b.expelled = true
			b.mu.Unlock()
			_, _ = s.CloseWith([]uint16{4100, 1012, 1000}[rand.IntN(3)], "out")
		}
	}
}

// ask asks a client from a goroutine.
func (h *house) ask(s *events.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+rand.IntN(20_000))*time.Millisecond)
	defer cancel()
	n := int(h.next.Add(1))
	got, err := events.Ask[int](ctx, s, "triple", n)
	h.judge(s, n, got, err)
}

func (h *house) askThen(s *events.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+rand.IntN(20_000))*time.Millisecond)
	n := int(h.next.Add(1))
	var told atomic.Bool
	h.pendingThens.Add(1)
	err := events.AskThen(ctx, s, "triple", n, func(got int, err error) {
		cancel()
		if told.Swap(true) {
			h.of(s.Client(), "AskThen %d has two outcomes, in %v", n, s)
			return
		}
		h.pendingThens.Add(-1)
		h.judge(s, n, got, err)
	})
	if err != nil {
		cancel()
		h.pendingThens.Add(-1)
	}
}

// judge looks at the outcome of a question to a client.
func (h *house) judge(s *events.Session, n, got int, err error) {
	h.askedBack.Add(1)
	var known *events.Error
	switch {
	case err == nil && got != 3*n:
		h.of(s.Client(), "three times %d is %d, in %v", n, got, s)
	case err == nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, events.ErrEnded),
		errors.Is(err, actors.ErrFull), errors.Is(err, actors.ErrDropped), errors.Is(err, actors.ErrClosed):
	case errors.As(err, &known) && (known.Code == "failed" || known.Code == "sorry" || known.Code == "canceled"):
	case errors.As(err, &known) && known.Code == "unknown" && strings.HasPrefix(s.Client(), "rogue"):
	default:
		h.of(s.Client(), "question %d: %v", n, err)
	}
}

// publish says numbered tidings to a topic, until stop is closed.
func (h *house) publish(topic string, stop chan struct{}) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-stop:
			return
		}
		var o []events.SendOption
		if rand.IntN(3) == 0 {
			o = append(o, events.Now())
		}
		if err := h.srv.Publish(topic, "tiding", tiding{n}, o...); err != nil {
			h.wrongf("Publish: %v", err)
		}
		if rand.IntN(3) == 0 {
			_ = h.srv.Publish(topic, "weather", n, actors.Latest("weather")) // none is ever missed
		}
	}
}
