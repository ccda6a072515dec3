package actorstest

import (
	"context"
	"time"
)

// end stops everything, and looks for what is left if that is still of interest.
func (s *Sim) end(look bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	stop := s.rt.Stop
	if s.srv != nil {
		stop = s.srv.Stop
	}
	if err := stop(ctx); err != nil && look {
		s.Errorf("actorstest: stopping: %v", err)
	}
	s.mu.Lock()
	conns := s.conns
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
	s.http.CloseIdleConnections()
	s.tasks.Wait()
	time.Sleep(time.Hour) // handlers that hang may come back, and protoactor's logs end by themselves
	if look {
		s.leftOver()
	}
}

// leftOver checks what must hold when all has ended.
func (s *Sim) leftOver() {
	s.Helper()
	st := s.rt.Stats()
	if st.Opened != st.Closed {
		s.Errorf("actorstest: at the end %d channels were opened and %d closed", st.Opened, st.Closed)
	}
	if st.BytesWaiting != 0 || st.CompressionBytes != 0 {
		s.Errorf("actorstest: at the end %d bytes count as waiting, %d as compression's", st.BytesWaiting, st.CompressionBytes)
	}
	if st.Abandoned != 0 {
		s.Errorf("actorstest: at the end %d abandoned calls of handlers have not returned", st.Abandoned)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, log := range s.channels {
		if log.opened != 1 || log.closed != 1 {
			s.Errorf("actorstest: channel %s was opened %d times and closed %d times", id, log.opened, log.closed)
		}
	}
	for _, bucket := range s.rt.System().ProcessRegistry.LocalPIDs.LocalPIDs {
		bucket.IterCb(func(id string, _ any) { // Items would start 32,768 goroutines
			if _, ours := s.rt.Channel(id); ours {
				s.Errorf("actorstest: at the end the actor of channel %s is left", id)
			}
		})
	}
	for _, e := range s.events {
		if !e.asked && !s.tolerant && isFailure(e.Event) {
			s.Errorf("actorstest: nobody asked for this: %s", describe(e.Event))
		}
	}
}
