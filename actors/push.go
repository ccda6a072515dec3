package actors

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/troupe-actors/troupe/transport"
)

// ErrStaysHere is wrapped by the error of a [Push] with something that means nothing on
// another node: a reader or sequence, a [Response], or the option [OnOutcome].
var ErrStaysHere = errors.New("actors: a push with this cannot go to another node")

// Portable is what a [Push] comes to, for a [Cluster] that carries it to another node.
type Portable struct {
	Packet    *transport.Packet // nil: nothing is sent
	Policy    Policy            // as Push has it: Block is Reject
	ThenClose bool
	Within    time.Duration // 0: never given up
}

// Portable takes the push apart. The error wraps [ErrStaysHere], or is a *[KeyError] or one
// of [Channel.Send]'s; then a reader is closed, as Send does it.
func (m *Push) Portable() (p Portable, err error) {
	v, err := resolve(m.Message)
	if err == nil {
		p, err = portable(v, m.Options)
	}
	if err != nil {
		if r, ok := v.(io.ReadCloser); ok {
			_ = r.Close() // it was only read: its error means nothing
		}
	}
	return p, err
}

func portable(v any, options []SendOption) (Portable, error) {
	o, err := apply(options)
	p := Portable{Policy: o.policy, ThenClose: o.close, Within: o.within}
	if p.Policy.Waits() {
		p.Policy = Reject
	}
	switch {
	case err != nil:
		return p, err
	case o.done != nil:
		return p, fmt.Errorf("%w: OnOutcome", ErrStaysHere)
	case o.whole || o.text:
		return p, fmt.Errorf("%w: Whole or AsText", ErrStaysHere)
	}
	if err := p.Policy.Portable(); err != nil || v == nil {
		return p, err
	}
	p.Packet, err = packet(v)
	if errors.Is(err, ErrType) {
		return p, fmt.Errorf("%w: a %T", ErrStaysHere, v)
	}
	if err == nil && o.plain {
		p.Packet = p.Packet.Uncompressed()
	}
	return p, err
}
