package events

import (
	"errors"

	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
)

// refresh takes a fresh token. Another user's, or one that is refused for good, ends
// the session.
func (s *Session) refresh(token string) {
	if s.srv.opts.Authorize == nil {
		return
	}
	id, err := s.srv.authorize(s.Channel().Request(), &Hello{Client: s.client, Token: token})
	var refused *Refusal
	switch known := errors.As(err, &refused) && refused != nil; {
	case known && refused.Retry > 0:
		// No verdict. If there is none until the token expires, the client comes again.
	case err != nil:
		if !known {
			s.srv.opts.Logger.Warn("events: authorizing a fresh token", supervisor.Text("err", err), "session", s.ID())
		}
		s.logout("the token is not valid")
	case id.UID != s.UID():
		s.logout("the token is another user's")
	default:
		s.mu.Lock()
		s.asideLocked().expires = id.Expires
		s.ticketed = false
		s.mu.Unlock()
		s.wake()
	}
}

func (s *Session) logout(reason string) {
	_, _ = s.CloseWith(protocol.CodeLogout, reason) // a code that may be sent, and a short reason
}
