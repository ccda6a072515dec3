package pipe

// Forget gives up a peer: its connection and everything waiting for it. Who
// watches an actor there is told AddressTerminated, messages are dead letters,
// packets are counted. What is sent to the address afterwards begins anew.
// Forget does not wait.
func (p *Pipe) Forget(address string) { p.carrier.forget(address) }

// Close ends all connections, and takes no new ones. It waits for nothing: Stop does.
func (p *Pipe) Close() { p.carrier.close() }

// Stop ends what Start began and returns when no goroutine of it is left. It
// waits for no peer, only for Receive to return where it is running. What is
// sent to other nodes from then on is a dead letter, and so is what still
// waited to be written: whoever needs more drains first. It may be called more
// than once.
func (p *Pipe) Stop() {
	p.stop.Do(func() {
		p.carrier.stop()
		p.system.ProcessRegistry.Remove(p.hub)
	})
}
