package actors

// watchCongestion tells the mailbox, and the clock, whether the kernel takes
// what it is given.
func (c *Channel) watchCongestion() {
	stuck := c.link.Pending() > 0
	taken := c.link.Taken()
	if stuck && !c.congested {
		c.strained().stallAt = c.ep.rt.now()
	}
	if stuck && (!c.congested || taken != c.strained().stallMark) {
		c.progressed(taken)
	}
	if stuck == c.congested {
		return
	}
	c.congested = stuck
	c.hold()
	if stuck {
		c.listen() // Open may still be running: Writable must come
		c.checkDeadlines()
		return
	}
	s := c.strained()
	s.stallAt, s.stallMark = 0, 0
	c.tidy()
	if !c.armed {
		c.box.Raise(sigTimer) // for keepalive, which has waited
	}
}

// progressed notes that the peer has taken something, or was given the first thing
// it does not take. That of the answer to its request it has to take whole. A ping
// of ours, which a goroutine writes and so is under way for a moment, is no data.
func (c *Channel) progressed(taken uint64) {
	now := c.ep.rt.now()
	c.strained().stallMark = taken
	if c.flight != nil || c.active() != nil {
		c.lastData = now
	}
	if !c.answering(taken) {
		c.strained().stallAt = now
	}
}

// answering reports whether the answer to the request is still on its way, and how
// long that may take is limited.
func (c *Channel) answering(taken uint64) bool {
	return taken < uint64(c.answer) && c.ep.opts.HandshakeTimeout > 0
}

// hold tells the mailbox whether what is sent has to wait.
func (c *Channel) hold() { c.box.Hold(c.congested || c.active() != nil, c.congested) }
