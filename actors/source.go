package actors

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// pieceBytes is how much of a reader is read and sent at a time.
const pieceBytes = 16 << 10

// source is a reader or a sequence that is sent piece by piece.
//
//	goroutine: read ─► next, sigPiece ─► channel: Queue, Flush ─► turn ─► read ...
//
// The goroutine is started by the channel when it is the source's turn. It ends
// with the source, or when the channel gives up; Runtime.Stop waits for it, for a
// while. A reader's one buffer is lent to the link until the kernel has taken it, so
// that a file of any size takes as much memory as a piece.
type source struct {
	// Immutable.
	c      *Channel
	value  any // io.Reader or iterator function
	length int64
	piece  int // bytes of a piece
	whole  bool
	text   bool
	plain  bool // not to be compressed

	turn chan struct{} // channel → goroutine: what was handed over has been taken
	quit chan struct{} // closed when the channel gives up

	mu     sync.Mutex
	next   *transport.Packet // goroutine → channel
	over   bool              // nothing more will come
	err    error             // why
	inside bool              // it is not the last of its message
	given  bool              // up: quit is closed
	shut   bool              // value is a reader and was closed
	closer io.Closer         // of the reader that is being read
}

// newSource is nil for a value that is neither a reader nor a sequence.
func newSource(c *Channel, v any, o sendOptions) *source {
	if _, ok := v.(io.Reader); !ok && sequence(v) == nil {
		return nil
	}
	s := &source{
		c: c, value: v, length: -1,
		piece: min(pieceBytes, max(c.ep.opts.MailboxBytes, 64)),
		whole: o.whole, text: o.text || c.origin.framing == transport.FramingSSE, plain: o.plain,
		turn: make(chan struct{}, 1), quit: make(chan struct{}),
	}
	if o.close && c.origin.framing == transport.FramingStream { // it may be an ordinary response
		s.length = lengthOf(v)
	}
	return s
}

// sequence is an iterator function of any element type, or nil.
func sequence(v any) iter.Seq[any] {
	switch v := v.(type) {
	case iter.Seq[any]:
		return v
	case func(func(any) bool):
		return v
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Func || rv.IsNil() || !rv.Type().CanSeq() {
		return nil
	}
	return func(yield func(any) bool) {
		for x := range rv.Seq() {
			if !yield(x.Interface()) {
				return
			}
		}
	}
}

// lengthOf is how many bytes are left in a reader, -1 if it does not tell.
func lengthOf(v any) int64 {
	switch r := v.(type) {
	case *bytes.Reader:
		return int64(r.Len())
	case *bytes.Buffer:
		return int64(r.Len())
	case *strings.Reader:
		return int64(r.Len())
	case interface {
		io.Seeker
		Stat() (fs.FileInfo, error)
	}:
		info, err := r.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return -1
		}
		at, err := r.Seek(0, io.SeekCurrent)
		if err != nil {
			return -1
		}
		if left := info.Size() - at; left > 0 {
			return left
		}
		return -1 // or the system makes it up as it is read
	}
	return -1
}

// errGivenUp ends a source whose channel wants no more of it.
var errGivenUp = errors.New("actors: the channel has given up")

// start begins to read.
func (s *source) start() { s.c.ep.rt.sources.run(s.run) }

func (s *source) run() {
	returned := false
	err := error(mailbox.ErrGoexit)
	defer func() {
		if reason := recover(); reason != nil || !returned {
			if reason == nil {
				reason = mailbox.ErrGoexit
			}
			err = s.c.sourceFailed(reason)
		}
		s.mu.Lock()
		s.over, s.err = true, err
		s.mu.Unlock()
		s.c.box.Raise(sigPiece)
	}()
	err = s.each(s.value, s.length, maxNested)
	returned = true
}

// maxNested is how deep sequences of sequences may go.
const maxNested = 64

// each hands over what v consists of.
func (s *source) each(v any, length int64, deep int) error {
	if deep == 0 {
		return fmt.Errorf("%w: sequences within each other without end", ErrType)
	}
	v, err := resolve(v)
	if err != nil || v == nil {
		return err
	}
	if r, ok := v.(io.Reader); ok {
		return s.read(r, length)
	}
	if seq := sequence(v); seq != nil {
		for item := range seq {
			if err := s.each(item, -1, deep-1); err != nil {
				return err
			}
		}
		return nil
	}
	p, err := packet(v)
	if err != nil {
		return err
	}
	if !s.c.origin.framing.Carries(p) {
		return fmt.Errorf("%w: a %T on %v", ErrFraming, v, s.c.origin.framing)
	}
	return s.hand(p, false)
}

// hand gives a packet to the channel and waits until the kernel has taken it.
func (s *source) hand(p *transport.Packet, inside bool) error {
	if s.plain {
		p = p.Uncompressed()
	}
	s.mu.Lock()
	s.next, s.inside = p, inside
	s.mu.Unlock()
	s.c.box.Raise(sigPiece)
	select {
	case <-s.turn:
	case <-s.quit:
	}
	select { // both may be the case
	case <-s.quit:
		return errGivenUp
	default:
		return nil
	}
}

// maxEmptyReads is how often in a row a reader may return nothing.
const maxEmptyReads = 100

// read hands over a reader piece by piece and closes it.
func (s *source) read(r io.Reader, length int64) error {
	if c, ok := r.(io.Closer); ok {
		if !s.opens(c) {
			return errGivenUp
		}
		defer s.closes()
	}
	if _, file := r.(*os.File); file && length >= 0 {
		r = io.LimitReader(r, length) // one that grows is sent as long as it was
	}
	buf := make([]byte, s.piece)
	kept, total, empty, first := 0, int64(0), 0, true
	for {
		n, err := r.Read(buf[kept:])
		total += int64(n)
		n += kept
		if n == kept && err == nil {
			if empty++; empty == maxEmptyReads {
				return io.ErrNoProgress
			}
			continue
		}
		empty = 0
		cut := n
		if s.text {
			if err != io.EOF {
				cut = boundary(buf[:n], s.whole)
			}
			if !utf8.Valid(buf[:cut]) {
				return ErrNotUTF8
			}
		}
		last := err == io.EOF
		switch {
		case length < 0:
		case total > length:
			return transport.ErrLength
		case last && total < length:
			last, err = false, io.ErrUnexpectedEOF
		}
		if p := s.packet(buf[:cut], first, last); p != nil {
			if err := s.hand(p, s.whole && !last); err != nil {
				return err
			}
			first = false
		}
		kept = copy(buf, buf[cut:n])
		if last {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// packet is a piece of a reader as a message, or part of one; nil for none.
func (s *source) packet(b []byte, first, last bool) *transport.Packet {
	op := transport.Binary
	if s.text {
		op = transport.Text
	}
	switch {
	case s.whole && (len(b) > 0 || last):
		return transport.NewFragment(op, b, first, last)
	case !s.whole && len(b) > 0:
		return transport.NewPacket(op, b)
	}
	return nil
}

// boundary is where text can be cut: not within a character, nor, if the parts
// are to be one again, between CR and LF.
func boundary(b []byte, whole bool) int {
	n := len(b)
	for i := 1; i <= min(n, utf8.UTFMax-1); i++ {
		if utf8.RuneStart(b[n-i]) {
			if !utf8.FullRune(b[n-i:]) {
				n -= i
			}
			break
		}
	}
	if whole {
		n = len(bytes.TrimSuffix(b[:n], []byte{'\r'}))
	}
	return n
}

// opens notes what has to be closed, unless it is too late: then it is closed.
func (s *source) opens(c io.Closer) bool {
	s.mu.Lock()
	given := s.given
	if !given {
		s.closer = c
	}
	s.mu.Unlock()
	if given && !s.single() { // else giveUp has closed it
		s.c.closeReader(c)
	}
	return !given
}

// single reports whether the source is one reader.
func (s *source) single() bool {
	_, ok := s.value.(io.Reader)
	return ok
}

// closes closes the reader that was opened, once.
func (s *source) closes() {
	s.mu.Lock()
	c := s.closer
	s.closer, s.shut = nil, s.single()
	s.mu.Unlock()
	if c != nil {
		s.c.closeReader(c)
	}
}

// giveUp ends the source, from the channel, which cannot wait for a Close.
func (s *source) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given {
		return
	}
	s.given = true
	close(s.quit)
	if s.closer == nil && s.single() && !s.shut {
		s.closer, _ = s.value.(io.Closer) // it was not its turn yet
	}
	if s.closer != nil {
		s.c.ep.rt.sources.run(s.closes)
	}
}

// taken lets the source go on.
func (s *source) taken() { s.turn <- struct{}{} }

// came is what the goroutine has handed over, and whether more of the same message
// must come.
func (s *source) came() (p *transport.Packet, inside, over bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p = s.next
	s.next = nil
	return p, s.inside, s.over && p == nil, s.err
}

// discardValue closes what will not be sent.
func (c *Channel) discardValue(v any) {
	v, _ = resolve(v)
	if r, ok := v.(Response); ok {
		v = r.Body
	}
	if _, ok := v.(io.Reader); !ok {
		return
	}
	if r, ok := v.(io.Closer); ok {
		c.closeReader(r)
	}
}

// closeReader closes what was only read: its error means nothing. A panic in it
// is reported and goes no further, wherever it is called.
func (c *Channel) closeReader(r io.Closer) {
	defer func() {
		if reason := recover(); reason != nil {
			c.sourceFailed(reason)
		}
	}()
	_ = r.Close()
}

// sourceFailed reports code of the application's that panicked outside of a
// callback.
func (c *Channel) sourceFailed(reason any) error {
	e := &HandlerError{Where: "source", Reason: reason, Stack: debug.Stack()}
	c.ep.rt.event(supervisor.HandlerFailed{
		ID: c.pid.Id, UID: c.UID(), Where: e.Where, Reason: reason, Stack: e.Stack, Directive: actor.ResumeDirective,
	})
	return e
}
