package lane

import "fmt"

// Config is what both ends of a lane are made with. ID must be the same at both, and
// MaxRecordBytes should be: a Receiver drops what is larger than its own.
type Config struct {
	ID uint64

	// QueueBytes is how much of class Message a Sender holds: queued, or sent and not
	// acknowledged. A record of more than half of it is let in while no more than
	// half is taken, so the bound is QueueBytes, or half of it and one record; and
	// up to MaxFrame more for what is left over at the end of a buffer. Default
	// 16 MiB, from 256 KiB to 512 MiB.
	QueueBytes int
	// ControlBytes is the same for class Control. Default 1 MiB, from 256 KiB to 512 MiB.
	ControlBytes int
	// WindowBytes is how much a Receiver lets come that is not handled. Default
	// 4 MiB, from FirstCredit to 512 MiB.
	WindowBytes int
	// MaxRecordBytes is the largest record. Default 64 MiB, from MaxFrame to 512 MiB.
	MaxRecordBytes int
}

func (c Config) checked() (Config, error) {
	for _, f := range []struct {
		name       string
		value      *int
		least, def int
	}{
		{"QueueBytes", &c.QueueBytes, 256 << 10, 16 << 20},
		{"ControlBytes", &c.ControlBytes, 256 << 10, 1 << 20},
		{"WindowBytes", &c.WindowBytes, FirstCredit, 4 << 20},
		{"MaxRecordBytes", &c.MaxRecordBytes, MaxFrame, 64 << 20},
	} {
		if *f.value == 0 {
			*f.value = f.def
		}
		if *f.value < f.least || *f.value > 1<<29 {
			return c, fmt.Errorf("lane: %s is %d, must be from %d to %d", f.name, *f.value, f.least, 1<<29)
		}
	}
	return c, nil
}
