package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

type secret struct{ Word string }

func plain(w *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

func TestEventsInALog(t *testing.T) {
	table := []struct {
		event Event
		line  string
	}{
		{Opened{ID: "1", UID: "ann", Remote: "1.2.3.4:5", Framing: "websocket", Driver: "poller"},
			`level=DEBUG msg=opened id=1 uid=ann remote=1.2.3.4:5 framing=websocket driver=poller`},
		{Closed{ID: "1", Cause: CausePeerClosed, Code: 1000, Reason: "bye", Open: time.Second, Sent: 2, Received: 3},
			`level=DEBUG msg=closed id=1 cause=peer-closed code=1000 code_name=normal reason=bye open=1s sent=2 received=3`},
		{Closed{ID: "1", Cause: CauseTransportError, Err: errors.New("bad descriptor")},
			`level=ERROR msg=closed id=1 cause=transport-error err="bad descriptor" open=0s sent=0 received=0`},
		{Closed{ID: "1", Cause: CauseProtocolError, Code: 1002},
			`level=INFO msg=closed id=1 cause=protocol-error code=1002 code_name=protocol-error open=0s sent=0 received=0`},
		{HandlerFailed{ID: "1", Where: "message", Message: &secret{"xyzzy"}, Reason: errors.New("boom"), Stack: []byte("main.go:1"), Directive: actor.RestartDirective},
			`level=ERROR msg=handler-failed id=1 where=message message_type=*supervisor.secret reason=boom directive=restart stack=main.go:1`},
		{HandlerFailed{ID: "1", Where: "open", Reason: secret{"xyzzy"}, Directive: actor.StopDirective},
			`level=ERROR msg=handler-failed id=1 where=open message_type=<nil> reason=supervisor.secret directive=stop stack=""`},
		{HandlerStuck{ID: "1", Where: "timer", For: time.Minute, Stack: []byte("s"), Directive: actor.ResumeDirective},
			`level=ERROR msg=handler-stuck id=1 where=timer for=1m0s directive=resume stack=s`},
		{Refused{Remote: "r", Status: 403, Reason: "origin"}, `level=INFO msg=refused remote=r status=403 reason=origin`},
		{Lost{ID: "1", UID: "ann", Count: 7}, `level=INFO msg=lost id=1 uid=ann count=7`},
		{Draining{Open: 4}, `level=INFO msg=draining open=4`},
		{DrainProgress{Open: 4, Left: 3}, `level=INFO msg=drain-progress open=4 left=3`},
		{Drained{Closed: 4}, `level=INFO msg=drained closed=4 forced=0 left=0`},
		{Drained{Closed: 4, Forced: 1}, `level=WARN msg=drained closed=4 forced=1 left=0`},
		{Drained{Closed: 4, Left: 1}, `level=WARN msg=drained closed=4 forced=0 left=1`},
		{AcceptPaused{Address: "1.2.3.4:5", Err: errors.New("too many open files"), Failures: 1},
			`level=WARN msg=accept-paused address=1.2.3.4:5 err="too many open files" failures=1`},
		{AcceptResumed{Address: "1.2.3.4:5", After: time.Second, Failures: 9},
			`level=WARN msg=accept-resumed address=1.2.3.4:5 after=1s failures=9`},
	}
	for _, row := range table {
		var w bytes.Buffer
		Log(plain(&w))(row.event)
		if got := strings.TrimSpace(w.String()); got != row.line {
			t.Errorf("got  %s\nwant %s", got, row.line)
		}
	}
}

func TestEveryCauseHasALevel(t *testing.T) {
	for c := range Causes() {
		switch l := (Closed{Cause: c}).Level(); l {
		case slog.LevelDebug, slog.LevelInfo, slog.LevelError:
		default:
			t.Errorf("%v: %v", c, l)
		}
	}
}

func TestReasonTextIsBoundedAndSurvivesBadErrors(t *testing.T) {
	if got := reasonText(strings.Repeat("x", 5000)); len(got) > 1100 {
		t.Errorf("%d bytes", len(got))
	}
	if got := reasonText(badError{}); !strings.Contains(got, "PANIC") {
		t.Errorf("got %s", got)
	}
}

type badError struct{}

func (badError) Error() string { panic("no text") }

func TestLogWithoutALoggerIsTheDefault(t *testing.T) {
	var w bytes.Buffer
	defer slog.SetDefault(slog.Default())
	hook := Log(nil)
	slog.SetDefault(plain(&w))
	if hook(Draining{Open: 1}); !strings.Contains(w.String(), "draining") {
		t.Errorf("got %q", w.String())
	}
}

func TestTeeTellsEveryHookInOrder(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(plain(&bytes.Buffer{}))
	var heard []string
	hear := func(name string) Hook {
		return func(e Event) { heard = append(heard, name+" "+e.Name()) }
	}
	hook := Tee(hear("a"), nil, func(Event) { panic("b") }, hear("c"))
	hook(Opened{})
	hook(Closed{})
	if got := fmt.Sprint(heard); got != "[a opened c opened a closed c closed]" {
		t.Errorf("heard %s", got)
	}
	Tee()(Opened{})
}

func TestGuardReportsAPanicAndGoesOn(t *testing.T) {
	var w bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(plain(&w))
	Guard(func(Event) { panic("ouch") })(Lost{})
	if got := w.String(); !strings.Contains(got, "event=lost reason=ouch") {
		t.Errorf("got %s", got)
	}
	Guard(nil)(Lost{})
}

func TestGuardSurvivesADefaultLoggerThatPanics(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(panicHandler{slog.DiscardHandler}))
	Guard(func(Event) { panic("ouch") })(Lost{})
}

type panicHandler struct{ slog.Handler }

func (panicHandler) Enabled(context.Context, slog.Level) bool { panic("handler") }
