package events

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/transport"
)

// control says something that has no number, and is not said again.
func (s *Session) control(m protocol.Message, v any) {
	if v != nil {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err) // only what is ours comes here
		}
		m.Data = b
	}
	if s.how == Poll {
		s.controls = append(append(s.controls, protocol.Append(nil, m)...), '\n')
		s.urgent = true
		return
	}
	s.spoke = s.srv.now()
	_ = s.inner.Queue(transport.NewPacket(transport.Text, protocol.Append(nil, m))) // a connection that fails is noticed when it is flushed
}

// say hands to the connection what it has not been given yet, as far as the
// window allows.
func (s *Session) say() {
	if s.inner == nil || s.how == Poll || s.closed && s.bye == nil {
		return
	}
	for n := s.said + 1; n <= s.replay.Last(); n++ {
		p, size := s.replay.At(n)
		if !s.opens(size) {
			return
		}
		q := p
		if s.how == SSE {
			q = asText(p)
		}
		if s.inner.Queue(q) != nil {
			return // it is noticed when the connection is flushed
		}
		s.noteSaid(p, size)
	}
}

// opens reports whether the window has room for a message.
func (s *Session) opens(size int) bool {
	waiting := s.said - s.replay.Acked()
	return waiting == 0 || waiting < uint64(s.srv.opts.Window) && s.saidSize+size <= s.srv.opts.WindowBytes
}

func (s *Session) noteSaid(p *transport.Packet, size int) {
	s.said++
	s.saidSize += size
	s.spoken = true
	if s.said > s.uttered.Load() {
		s.uttered.Store(s.said)
		s.taken += uint64(p.Size())
	}
}

// asText is a message for a transport that carries text alone.
func asText(p *transport.Packet) *transport.Packet {
	if p.Op() == transport.Text {
		return p
	}
	return transport.NewPacket(transport.Text, appendText(nil, p))
}

func appendText(dst []byte, p *transport.Packet) []byte {
	if p.Op() == transport.Text {
		return append(dst, p.Data()...)
	}
	return base64.StdEncoding.AppendEncode(append(dst, '~'), p.Data())
}

// flush writes.
func (s *Session) flush() {
	if s.inner == nil {
		return
	}
	now := s.srv.now()
	if s.spoken {
		s.spoken, s.spoke = false, now
	}
	if s.held(now) {
		return
	}
	s.urgent, s.batch = false, 0
	if s.polled() && !s.goesWithGoodbye() {
		s.answerPoll(false)
	}
	if s.inner.Pending() > 0 {
		if err := s.inner.Flush(); err != nil {
			if !s.closed {
				s.detach(Detached{Code: 1006, Err: err})
			}
			return
		}
	}
	s.watchStall(now)
	if s.how == Poll && s.shut && s.inner.Pending() == 0 && !s.closed {
		s.drop()
		s.since = now
	}
}

// goesWithGoodbye reports whether what waits goes with the goodbye that is to come: a
// poll has one answer.
func (s *Session) goesWithGoodbye() bool {
	return s.polled() && !s.closed && s.closing() &&
		s.replay.Len() <= s.srv.opts.Window && s.replay.Bytes() <= s.srv.opts.WindowBytes
}

// held reports whether what waits is to be held back, so that more can go with it.
func (s *Session) held(now int64) bool {
	wait := int64(s.srv.opts.Batch)
	if s.how == Poll {
		wait = max(wait, int64(pollBatch))
	}
	if wait == 0 || s.urgent || s.shut || s.bye != nil || !s.room() || s.closing() {
		return false
	}
	if s.how == Poll && s.said == s.replay.Last() || s.how != Poll && s.inner.Pending() == 0 {
		return false // nothing waits
	}
	if s.batch == 0 {
		s.batch = now + wait
	}
	return now < s.batch
}

// watchStall notes whether the connection takes what it is given.
func (s *Session) watchStall(now int64) {
	taken := s.inner.Taken()
	switch stuck := s.inner.Pending() > 0; {
	case !stuck:
		s.stalled = false
	case !s.stalled || taken != s.mark:
		s.stalled, s.stall, s.mark = true, now, taken
	}
}

// sayGoodbye says the last on this connection.
func (s *Session) sayGoodbye() {
	if s.inner == nil {
		return
	}
	if s.how == Poll {
		if !s.shut {
			s.answerPoll(true)
		}
		_ = s.inner.Flush()
		return
	}
	s.say()
	s.control(protocol.Message{Kind: protocol.Goodbye}, s.bye)
	s.inner.Close(s.bye.Code, s.bye.Reason)
	_ = s.inner.Flush() // whoever is gone needs no goodbye
}

// emptyPoll answers the poll that is held, whose place another takes, with nothing.
func (s *Session) emptyPoll() {
	if s.inner == nil || s.shut {
		return
	}
	_, _ = s.inner.Begin(pollHead, 0) // whoever is gone needs no answer
	s.inner.Close(0, "")
	s.shut = true
}

// answerPoll answers the poll that is held with all there is to say; always: also
// with nothing.
func (s *Session) answerPoll(always bool) {
	var body []byte
	if s.greeting != nil {
		body = append(protocol.Append(body, protocol.Message{Kind: protocol.Hello, Data: s.greeting}), '\n')
		s.greeting = nil
	}
	first := s.said
	for n := s.said + 1; n <= s.replay.Last(); n++ {
		p, size := s.replay.At(n)
		if !s.opens(size) {
			break
		}
		body = append(appendText(body, p), '\n')
		s.noteSaid(p, size)
	}
	if len(body)+len(s.controls) == 0 && s.said == first && s.bye == nil && !always {
		return
	}
	if s.handled > s.acked {
		body = append(protocol.Append(body, protocol.Message{Kind: protocol.Ack, ID: s.handled}), '\n')
		s.noteAcked()
	}
	body = append(body, s.controls...)
	s.controls = nil
	if s.bye != nil {
		b, err := json.Marshal(s.bye)
		if err != nil {
			panic(err)
		}
		body = append(protocol.Append(body, protocol.Message{Kind: protocol.Goodbye, Data: b}), '\n')
	}
	_, err := s.inner.Begin(pollHead, int64(len(body)))
	if err == nil && len(body) > 0 {
		err = s.inner.Queue(transport.NewPacket(transport.Text, body))
	}
	if err == nil {
		s.inner.Close(0, "")
	}
	s.shut = true // if something failed, so does the flush
	s.spoke = s.srv.now()
}

var pollHead = &transport.Head{Header: http.Header{
	"Content-Type":  {"text/plain; charset=utf-8"},
	"Cache-Control": {"no-store"},
}}
