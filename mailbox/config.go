package mailbox

import (
	"fmt"
	"time"
)

// Config is what the mailboxes of one kind of actor share. It is not changed
// once a mailbox uses it.
type Config struct {
	Dispatcher *Dispatcher

	// Messages bounds each lane: the inbox, and the outbox together with what
	// its owner took and has not settled. Default 1024.
	Messages int

	// Bytes bounds the bytes of the same, of each lane by itself. Default 1 MiB.
	Bytes int

	// Budget, if set, bounds the bytes of all mailboxes that share it.
	Budget *Budget

	// Deadline is how long one call of application code may take before the
	// goroutine it runs on is fenced off. Zero: for ever.
	Deadline time.Duration

	// Share is how many messages a mailbox handles before others have a turn.
	// Default 64.
	Share int
}

// Defaults of Config.
const (
	DefaultMessages = 1024
	DefaultBytes    = 1 << 20
	DefaultShare    = 64
)

// Check reports the first value that is out of range.
func (c *Config) Check() error {
	switch {
	case c.Dispatcher == nil:
		return fmt.Errorf("mailbox: Config.Dispatcher is nil")
	case c.Messages < 0:
		return fmt.Errorf("mailbox: Config.Messages is %d, want 0 (default %d) or more", c.Messages, DefaultMessages)
	case c.Bytes < 0:
		return fmt.Errorf("mailbox: Config.Bytes is %d, want 0 (default %d) or more", c.Bytes, DefaultBytes)
	case c.Deadline < 0:
		return fmt.Errorf("mailbox: Config.Deadline is %v, want 0 (none) or more", c.Deadline)
	case c.Share < 0:
		return fmt.Errorf("mailbox: Config.Share is %d, want 0 (default %d) or more", c.Share, DefaultShare)
	}
	return nil
}

func (c *Config) messages() int { return or(c.Messages, DefaultMessages) }

func (c *Config) bytes() int { return or(c.Bytes, DefaultBytes) }

func (c *Config) share() int { return or(c.Share, DefaultShare) }

func or(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}
