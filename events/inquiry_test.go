package events

import (
	"errors"
	"reflect"
	"testing"

	"github.com/troupe-actors/troupe/events/protocol"
)

// What a node asks another, and what that answers, arrives as it was.
func TestInquiriesAndOutcomesTravel(t *testing.T) {
	srv := newPresence(t, Options{})
	p, err := srv.packets(protocol.Message{Kind: protocol.Event, Event: []byte("call")}, map[string]int{"n": 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []inquiry{{uid: "ann", contest: 1 << 63}, {uid: "ann", client: "tab"}, {session: "s"}} {
		q.packet = p
		b, err := srv.appendInquiry(nil, q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := srv.parseInquiry(b)
		if err != nil || got.uid != q.uid || got.contest != q.contest || got.client != q.client || got.session != q.session || string(got.packet.Data()) != string(p.Data()) {
			t.Errorf("%v: %v, %v", q, got, err)
		}
	}
	for _, o := range []outcome{
		{}, {answer: answer{0, true, []byte("1")}}, {answer: answer{0, false, []byte{}}}, {err: ErrNobody}, {err: ErrEnded},
		{err: &Error{Code: "busy", Message: "later"}},
	} {
		b, err := srv.appendOutcome(nil, o)
		if got := srv.parseOutcome(b); err != nil || !reflect.DeepEqual(got, o) {
			t.Errorf("%v: %v, %v", o, got, err)
		}
	}
	other := errors.New("what only this node knows")
	if b, err := srv.appendOutcome(nil, outcome{err: other}); b != nil || err != other {
		t.Error(b, err)
	}
}

func FuzzInquiry(f *testing.F) {
	srv := newPresence(f, Options{})
	p, err := srv.packets(protocol.Message{Kind: protocol.Event, Event: []byte("call")}, "x")
	if err != nil {
		f.Fatal(err)
	}
	b, err := srv.appendInquiry(nil, inquiry{"ann", "tab", "", 300, p})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0, 0, 0})
	f.Add([]byte{answerText, 1, 'x', 'y'})
	f.Add([]byte{answerError, '{', '}'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := srv.parseInquiry(b); err == nil {
			if _, err := questionOf(q.packet, 0, 1); err != nil {
				t.Error(err)
			}
		}
		if l, _, rest, err := cutLogout(b); err == nil && len(l.uid)+len(l.reason)+len(rest) > len(b) {
			t.Error(l, rest)
		}
		if o := srv.parseOutcome(b); o.err == nil && len(o.answer.data) > len(b) {
			t.Error("it has more than came")
		}
		if topic, uid, ok := cutPrefix(string(b)); ok && len(topic)+len(uid) >= len(b) {
			t.Error(topic, uid)
		}
	})
}
