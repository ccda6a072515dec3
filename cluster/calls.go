package cluster

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/lane"
)

// Errors of a question to another node, beside [ErrNodeLost]: it was lost, or is unknown, before its
// answer came.
var (
	// ErrBusy: the node has too many questions of this one, or this one can send it no
	// more.
	ErrBusy = errors.New("cluster: the node is busy")

	// ErrService: the node does not know what it is asked.
	ErrService = errors.New("cluster: no such service")
)

// The codes of an Answer's error.
const (
	codeFailed = iota + 1
	codeBusy
	codeService
	codeCanceled
	codeTooLarge
)

// Service answers a question of a node, whose name from is. ctx ends when nobody waits for
// the answer any more: who does not return then holds up the end of the runtime. data is
// the callee's to keep. An error, but for its text, stays here; so does a panic.
type Service = func(ctx context.Context, from string, data []byte) ([]byte, error)

// calls are the questions of this node that have no answer yet, and those of others
// that are worked on.
type calls struct {
	mu    sync.Mutex
	last  uint64           // guarded by mu
	open  map[uint64]*call // guarded by mu
	works map[*peer]*works // by who asked; guarded by mu
	ended sync.WaitGroup   // of works
}

// works are the questions of one node that are worked on.
type works struct {
	cancel map[uint64]context.CancelFunc // by id
	own    int                           // of them the runtime's own that do not wait for clients
}

type call struct {
	peer *peer
	done chan answer // of capacity 1
}

type answer struct {
	data []byte
	err  error
}

// mostWorks is how many questions of one node may be worked on at the same time: so many
// of the application's and those that wait for clients, and as many of the runtime's own,
// which the others do not hold up.
const mostWorks = 1024

// What the names of the runtime's own services begin with: all of them, and those that wait
// for clients.
const (
	prefixOwn     = "troupe/"
	prefixClients = "troupe/clients/"
)

func own(service string) bool {
	return strings.HasPrefix(service, prefixOwn) && !strings.HasPrefix(service, prefixClients)
}

// Serve answers what nodes [Cluster.Ask] of this name, on a goroutine for each question, 1,024 at a
// time of each node's questions: it is told ErrBusy beyond. The last f for a name counts. Names
// that begin with "troupe/" are the runtime's own, whose questions are counted apart: it
// panics if such a name is taken.
func (cl *Cluster) Serve(service string, f Service) {
	if !strings.HasPrefix(service, prefixOwn) {
		cl.services.Store(service, f)
		return
	}
	if _, taken := cl.services.LoadOrStore(service, f); taken {
		panic(fmt.Sprintf("cluster: the service %q is the runtime's own", service))
	}
}

// Ask asks a node, by its name, for what it Serves under a name, and waits for its answer
// until ctx ends. It is asked once at most. The error is ErrNodeLost, ErrBusy, ErrService,
// a *[SizeError], by the limits of either node, ctx's, or an *[AnswerError] with the text of the service's. This node may
// be asked, too.
func (cl *Cluster) Ask(ctx context.Context, node, service string, data []byte) ([]byte, error) {
	if node == cl.cfg.Name {
		f, ok := cl.services.Load(service)
		if !ok {
			return nil, ErrService
		}
		return cl.askSelf(ctx, &clusterpb.Call{Service: service, Data: data}, f.(Service))
	}
	for n, p := range cl.peers().byNode {
		if n.Name == node {
			return cl.call(ctx, p, service, data)
		}
	}
	return nil, ErrNodeLost
}

func (cl *Cluster) askSelf(ctx context.Context, q *clusterpb.Call, f Service) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	done := make(chan *clusterpb.Answer, 1)
	cl.calls.mu.Lock()
	if cl.stopped.Load() {
		cl.calls.mu.Unlock()
		return nil, ErrNodeLost
	}
	cl.calls.ended.Go(func() { done <- cl.work(ctx, cl.cfg.Name, q, f) })
	cl.calls.mu.Unlock()
	select {
	case a := <-done:
		return a.Data, errorOf(cl.cfg.Name, a)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// AnswerError is that the service of a node failed.
type AnswerError struct{ Node, Text string }

func (e *AnswerError) Error() string { return fmt.Sprintf("cluster: %s answers: %s", e.Node, e.Text) }

// errorOf is what an answer says.
func errorOf(node string, a *clusterpb.Answer) error {
	switch a.Code {
	case 0:
		return nil
	case codeBusy:
		return ErrBusy
	case codeService:
		return ErrService
	case codeCanceled:
		return context.DeadlineExceeded // who gives up does not hear it
	case codeTooLarge:
		return &SizeError{int(a.Size), int(a.Most)}
	}
	return &AnswerError{node, a.Error}
}

// call asks a node and waits for its answer.
func (cl *Cluster) call(ctx context.Context, p *peer, service string, data []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := cl.fits(len(data)); err != nil {
		return nil, err
	}
	c := &call{peer: p, done: make(chan answer, 1)}
	calls := &cl.calls
	calls.mu.Lock()
	if calls.open == nil {
		calls.open = make(map[uint64]*call)
	}
	calls.last++
	id := calls.last
	calls.open[id] = c
	calls.mu.Unlock()
	q := &clusterpb.Call{Id: id, Service: service, Data: data}
	if by, ok := ctx.Deadline(); ok {
		q.TimeoutMs = max(1, time.Until(by).Milliseconds())
	}
	if err := p.say1(lane.Message, &clusterpb.Record{What: &clusterpb.Record_Call{Call: q}}); err != nil {
		calls.take(id)
		switch {
		case errors.Is(err, lane.ErrFull):
			return nil, ErrBusy
		case errors.Is(err, lane.ErrEnded), errors.Is(err, ErrLeft):
			return nil, ErrNodeLost
		}
		return nil, fmt.Errorf("cluster: asking %s: %w", p.node.Name, err)
	}
	select {
	case a := <-c.done:
		return a.data, a.err
	case <-ctx.Done():
		if calls.take(id) != nil {
			// What is not heard is not needed: it has the deadline.
			_ = p.say1(lane.Message, &clusterpb.Record{What: &clusterpb.Record_Call{Call: &clusterpb.Call{Id: id, Cancel: true}}})
		}
		return nil, ctx.Err()
	}
}

func (c *calls) take(id uint64) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	open := c.open[id]
	delete(c.open, id)
	return open
}

// answered takes an answer.
func (c *calls) answered(p *peer, a *clusterpb.Answer) {
	c.settle(p, a.Id, answer{a.Data, errorOf(p.node.Name, a)})
}

// settle ends what was asked of a node.
func (c *calls) settle(p *peer, id uint64, a answer) {
	c.mu.Lock()
	open := c.open[id]
	if open == nil || open.peer != p {
		c.mu.Unlock()
		return
	}
	delete(c.open, id)
	c.mu.Unlock()
	open.done <- a
}

// lost ends what was asked of a node, and what it has asked.
func (c *calls) lost(p *peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, open := range c.open {
		if open.peer == p {
			delete(c.open, id)
			open.done <- answer{nil, ErrNodeLost}
		}
	}
	if works := c.works[p]; works != nil {
		for _, cancel := range works.cancel {
			cancel()
		}
	}
}

// called works on a question of another node.
func (cl *Cluster) called(p *peer, q *clusterpb.Call) {
	if q.Cancel {
		cl.calls.cancel(p, q.Id)
		return
	}
	if code := cl.begin(p, q); code != 0 {
		cl.answer(p, &clusterpb.Answer{Id: q.Id, Code: code})
	}
}

func (c *calls) cancel(p *peer, id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if works := c.works[p]; works != nil && works.cancel[id] != nil {
		works.cancel[id]()
	}
}

// begin has a question worked on, or says why not.
func (cl *Cluster) begin(p *peer, q *clusterpb.Call) (code uint32) {
	f, ok := cl.services.Load(q.Service)
	if !ok {
		return codeService
	}
	c := &cl.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.isOver() {
		return 0 // its works are canceled already
	}
	w := c.works[p]
	if w == nil {
		w = &works{cancel: make(map[uint64]context.CancelFunc)}
	}
	share := len(w.cancel) - w.own
	if own(q.Service) {
		share = w.own
	}
	if share >= mostWorks || w.cancel[q.Id] != nil || cl.stopped.Load() {
		return codeBusy
	}
	ctx, cancel := context.WithCancel(context.Background())
	if ms := q.TimeoutMs; ms > 0 && ms < mostTimeout.Milliseconds() {
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(ms)*time.Millisecond)
	}
	if c.works == nil {
		c.works = make(map[*peer]*works)
	}
	c.works[p] = w
	w.cancel[q.Id] = cancel
	if own(q.Service) {
		w.own++
	}
	c.ended.Go(func() {
		a := cl.work(ctx, p.node.Name, q, f.(Service))
		c.end(p, q)
		cancel()
		cl.answer(p, a)
	})
	return 0
}

// end forgets a question.
func (c *calls) end(p *peer, q *clusterpb.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.works[p]
	if own(q.Service) {
		w.own--
	}
	if delete(w.cancel, q.Id); len(w.cancel) == 0 {
		delete(c.works, p)
	}
}

// mostTimeout is the longest deadline that is one.
const mostTimeout = 1000 * time.Hour

// work has a service answer.
func (cl *Cluster) work(ctx context.Context, from string, q *clusterpb.Call, f Service) (a *clusterpb.Answer) {
	a = &clusterpb.Answer{Id: q.Id}
	defer func() {
		if v := recover(); v != nil {
			cl.log.Error("cluster: a service panicked", "service", q.Service, "reason", v, "stack", string(debug.Stack()))
			a.Code, a.Error = codeFailed, "the service failed"
		}
	}()
	data, err := f(ctx, from, q.Data)
	if err == nil {
		err = cl.fits(len(data))
	}
	switch {
	case err == nil:
		a.Data = data
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		a.Code, a.Error = codeCanceled, err.Error()
	default:
		a.Code, a.Error = codeFailed, strings.ToValidUTF8(err.Error(), "?")
	}
	return a
}

// answer answers: with ErrBusy, which always finds room, if the answer does not. There are
// no more of those than works, and what its node has credit for.
func (cl *Cluster) answer(p *peer, a *clusterpb.Answer) {
	err := p.say1(lane.Message, &clusterpb.Record{What: &clusterpb.Record_Answer{Answer: a}})
	if err == nil || errors.Is(err, lane.ErrEnded) || errors.Is(err, ErrLeft) {
		return
	}
	p.refused(err)
	_ = p.post1(&clusterpb.Record{What: &clusterpb.Record_Answer{Answer: &clusterpb.Answer{Id: a.Id, Code: codeBusy}}})
}
