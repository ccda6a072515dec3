package conformance

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// TestRFC6455_7_1_7_AnswersComeBeforeTheFault: what the handler has answered leaves in
// front of the close frame, also if there was no room for it when the fault came: the
// pipe has room for one answer and a half.
func TestRFC6455_7_1_7_AnswersComeBeforeTheFault(t *testing.T) {
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	defer func() {
		if err := rt.Stop(ctx); err != nil {
			t.Error(err)
		}
	}()
	handled := make(chan struct{}, 4)
	ep, err := rt.Endpoint(actors.Options{CloseTimeout: patience}, actors.Callbacks{
		Message: func(c *actors.Channel, m actors.Message) {
			_ = c.Send(m)
			handled <- struct{}{}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []struct {
		bytes []byte
		code  uint16
	}{
		{masked(bitFin|bitRsv3|opText, "a"), 1002},
		{whole(opText, "\xff"), 1007},
		{farewell(3000, ""), 3000},
	} {
		link, p := transporttest.Pair(&transport.Config{}, 200)
		c, err := ep.Open(link, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		answers := []string{strings.Repeat("x", 150), strings.Repeat("y", 150), "third", "fourth"}
		for i, bytes := range [][]byte{
			whole(opText, answers[0]),
			whole(opText, answers[1]),
			join(whole(opText, answers[2]), whole(opText, answers[3]), end.bytes),
		} {
			if err := p.WriteRaw(bytes); err != nil {
				t.Fatal(err)
			}
			if i < 2 {
				<-handled
			}
		}
		select {
		case <-c.Closing():
		case <-ctx.Done():
			t.Fatal("the channel does not close")
		}
		for i, text := range answers {
			if _, data, err := p.ReadMessage(ctx); err != nil || string(data) != text {
				t.Errorf("code %d: answer %d: %q, %v", end.code, i, data, err)
			}
		}
		var bye *transporttest.CloseError
		if _, _, err := p.ReadMessage(ctx); !errors.As(err, &bye) || bye.Code != end.code {
			t.Errorf("%v, want %d", err, end.code)
		}
		if err := p.Disconnect(); err != nil {
			t.Error(err)
		}
		<-c.Done()
		<-handled
		<-handled
	}
}
