package lane

// A Class of records has room of its own in a Sender. In all else they are alike: one
// order, one credit.
type Class uint8

// The classes.
const (
	// Message is for traffic: what is refused is the loss of one record.
	Message Class = iota
	// Control is for what must not be refused because others send much. Who uses it
	// looks at Room, keeps together what has no room yet, and goes on after Acked.
	Control

	classes
)

// Append puts a record at the end of the lane. The bytes are copied. See Begin for
// the errors.
func (s *Sender) Append(c Class, record []byte) error {
	b, err := s.Begin(c, len(record))
	if err != nil {
		return err
	}
	copy(b, record)
	s.Commit()
	return nil
}

// Begin gives the place for a record of n bytes, which the caller fills and then
// calls Commit: nothing else of this Sender in between. Until Commit nothing has
// happened; a Begin without one needs nothing more. What is in the place before is
// undefined. The error is ErrFull, ErrEnded or a *SizeError.
func (s *Sender) Begin(c Class, n int) ([]byte, error) {
	at := len(s.buf) + headBytes(n)
	if uint(n) > maxPiece || at+n > cap(s.buf) || s.held[c]+n+frameMax > s.limits[c] {
		return s.beginAnew(c, n)
	}
	s.begun, s.class = n, c
	return s.buf[at : at+n : at+n], nil
}

// frameMax is what a frame costs at most beside its records: a piece may open one.
const frameMax = FrameCost + headMax

// beginAnew is Begin where the open buffer, or the room, does not do.
func (s *Sender) beginAnew(c Class, n int) ([]byte, error) {
	s.begun = -1
	switch cost := n + frameMax*(n/maxPiece+1); {
	case s.ended:
		return nil, ErrEnded
	case n < 0 || n > s.maxRecord:
		return nil, &SizeError{n, s.maxRecord}
	case s.held[c]+cost > s.limits[c] && s.held[c] > s.limits[c]/2:
		return nil, ErrFull
	}
	s.begun, s.class = n, c
	if n > maxPiece {
		s.large = make([]byte, n)
		return s.large, nil
	}
	at := len(s.buf) + headBytes(n)
	if at+n > cap(s.buf) {
		s.turn()
		at = headBytes(n)
	}
	return s.buf[at : at+n : at+n], nil
}

// Commit puts the record that Begin gave the place for at the end of the lane.
func (s *Sender) Commit() {
	n := s.begun
	if n < 0 {
		panic("lane: Commit without Begin")
	}
	s.begun = -1
	if n > maxPiece {
		s.cut()
		return
	}
	s.put(n, false)
}

// put adds the piece of n bytes that lies behind the place for its head.
func (s *Sender) put(n int, more bool) {
	at, cost := len(s.buf), headBytes(n)+n
	s.buf = s.buf[:at+cost]
	putHead(s.buf[at:], n, more)
	if at == s.from {
		cost += FrameCost
	}
	s.open[s.class] += uint32(cost)
	s.held[s.class] += cost
}

// cut adds the large record, in frames of its own but for what follows its end.
func (s *Sender) cut() {
	for rest := s.large; len(rest) > 0; {
		if len(s.buf) > 0 || s.slab == nil {
			s.turn()
		}
		n := min(len(rest), maxPiece)
		copy(s.buf[headBytes(n):cap(s.buf)], rest[:n])
		rest = rest[n:]
		s.put(n, len(rest) > 0)
		if len(rest) > 0 {
			s.seal(true)
		}
	}
	s.large = nil
}

// turn begins with a new slab. What is left of the old one is charged to the frame
// before, since it is held as long.
func (s *Sender) turn() {
	if len(s.buf) > s.from {
		s.seal(false)
	}
	if s.slab != nil && s.slab.frames > 0 {
		left := cap(s.buf) - len(s.buf)
		s.frames.at(s.frames.last).cost[s.class] += uint32(left)
		s.held[s.class] += left
	}
	s.slab = slabs.Get().(*slab)
	s.buf, s.from = s.slab.memory[:0], 0
}

// seal makes a numbered frame of what is open.
func (s *Sender) seal(more bool) {
	f := frame{slab: s.slab, from: int32(s.from), to: int32(len(s.buf)), more: more, cost: s.open}
	s.total += uint64(len(s.buf) - s.from + FrameCost)
	f.end = s.total
	s.frames.push(f)
	s.slab.frames++
	s.from, s.open = len(s.buf), [classes]uint32{}
}

// Room is the size of a record that is certain to be let in now: 0 says nothing. It grows only in
// Acked.
func (s *Sender) Room(c Class) int {
	if s.ended {
		return 0
	}
	room := s.limits[c] - s.held[c]
	return min(s.maxRecord, max(0, room-frameMax*(room/(MaxFrame+FrameCost)+1)))
}

// Held is the room that a class takes now.
func (s *Sender) Held(c Class) int { return s.held[c] }
