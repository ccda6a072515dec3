package transporttest

// Signals is a transport.Sink that a test can wait for. Each channel holds one
// signal; more of them are the same as one.
type Signals struct {
	R chan struct{} // Readable
	W chan struct{} // Writable
}

// NewSignals makes the channels.
func NewSignals() *Signals {
	return &Signals{R: make(chan struct{}, 1), W: make(chan struct{}, 1)}
}

func (s *Signals) Readable() { raise(s.R) }
func (s *Signals) Writable() { raise(s.W) }

func raise(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
