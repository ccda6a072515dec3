package events

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// errand is what a client wants of a session on another node: to say something, to poll, or
// to have a connection carry it. Where its client has come to, its checks are done; whose
// session it is that node knows.
type errand struct {
	Hello   *protocol.ClientHello
	Known   bool // who the client is: UID, until Expires
	UID     string
	Expires time.Time
	Ticket  bool // has said so

	said []byte // the rest of the body
}

// report is what has become of an errand. Without any of these the body is the answer to
// a poll.
type report struct {
	Why      string   `json:",omitempty"` // there is no such session
	Stranger bool     `json:",omitempty"` // who the client is should have been known
	Refused  *Refusal `json:",omitempty"`
	Tunnel   uint64   `json:",omitempty"` // that carries the connection
	Kept     uint64   // of who only says something

	body []byte
}

// mostErrands is how many polls, and connections, a server has carried at a time by sessions
// of other nodes. Each takes two questions at most, of which a node works on 1,024 of each
// other.
const mostErrands = 400

// dockTime is how long a node may take to have a connection carry a session. It waits for
// nobody, so that it is quick, or has died and nobody knows it yet.
const dockTime = 3 * time.Second

// What says much goes only while no more than so many bytes of that are on their way: they take the
// room of what else goes to a node, broadcasts among it, which would be lost.
const (
	muchSaid = 16 << 10
	mostSaid = 4 << 20
)

// Ids of sessions end with what tells their node.
const homeLen = 4

func (k *key) settle(node string) {
	h := fnv.New32a()
	_, _ = io.WriteString(h, node)
	binary.BigEndian.PutUint32(k[len(k)-homeLen:], h.Sum32())
}

// newID is the id of a new session.
func (srv *Server) newID() key {
	k := newKey()
	if srv.nodes != nil {
		k.settle(srv.nodes.Name())
	}
	return k
}

// homes are the other nodes that the session may be on which a client names: one, as a rule.
func (srv *Server) homes(w http.ResponseWriter, r *http.Request, h *protocol.ClientHello) (homes []string) {
	k, ok := parseKey(h.Session)
	if !ok || srv.nodes == nil || h.Down == "" && !transport.CanTakeOver(w, r) {
		return nil
	}
	for _, node := range srv.others() {
		at := k
		if at.settle(node); at == k {
			homes = append(homes, node)
		}
	}
	return homes
}

// run has the node of a guest's session do what its client wants, and answers with what it
// reports: a connection for as long as it lasts. It returns false, and has not answered, if there is no such session, and why.
func (srv *Server) run(w http.ResponseWriter, r *http.Request, g *guest, l *letter) (done bool, why string) {
	h := g.hello
	e := errand{Hello: h, Known: g.stranger == nil, UID: g.id.UID, Expires: g.id.Expires, Ticket: g.ticketed, said: l.text}
	limit := nodesTime + srv.opts.WriteTimeout // for room
	connects := false
	switch h.Down {
	case protocol.DownNone:
	case protocol.DownPoll:
		limit += srv.opts.Hold
	default:
		connects, limit = true, dockTime
	}
	if h.Down != protocol.DownNone {
		defer srv.errands.Add(-1)
		if srv.errands.Add(1) > mostErrands {
			if g.stranger != nil { // who may have no other session
				srv.refuse(w, r, errAway)
			}
			return g.stranger != nil, protocol.WhyExpired
		}
	}
	question, err := e.append(nil)
	if err != nil {
		srv.opts.Logger.Error("events: for another node", supervisor.Text("err", err))
		srv.refuse(w, r, errFailed)
		return true, ""
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	why = protocol.WhyExpired
	for _, node := range g.homes {
		did, err := srv.send(ctx, node, question)
		switch {
		case r.Context().Err() != nil: // nobody hears it
		case err == errBusy:
			srv.refuse(w, r, errBusy)
		case err != nil && g.stranger == nil && (connects || h.Down == protocol.DownPoll && !slices.Contains(srv.others(), node)):
			continue // the session is as good as lost
		case err != nil:
			srv.refuse(w, r, errAway)
		case did.Why != "":
			why = did.Why
			continue
		case did.Stranger:
			srv.refuse(w, r, g.stranger)
		case did.Refused != nil:
			srv.refuse(w, r, did.Refused)
		case did.Tunnel != 0:
			l.free() // it may last
			o := &outlet{srv, node, binary.AppendUvarint(nil, did.Tunnel)}
			if h.Down == protocol.DownSSE {
				o.stream(w, r)
			} else {
				o.webSocket(w, r, h.Codec)
			}
		case h.Down == protocol.DownPoll:
			writeAnswer(w, did.body)
		default:
			answerKept(w, did.Kept)
		}
		return true, ""
	}
	if g.stranger != nil {
		srv.refuse(w, r, g.stranger)
		return true, ""
	}
	return false, why
}

// send has a node run an errand. errBusy: it says much, and so much is on its way already.
func (srv *Server) send(ctx context.Context, node string, question []byte) (did report, err error) {
	if n := int64(len(question)); n > muchSaid {
		defer srv.saying.Add(-n)
		if all := srv.saying.Add(n); all > mostSaid && all > n { // alone it goes in any case
			return report{}, errBusy
		}
	}
	b, err := srv.nodes.Ask(ctx, node, srv.service(errandService), question)
	if err == nil {
		did, err = parseReport(b)
	}
	return did, err
}

// vouch asks the nodes of a stranger's session whether a ticket has let it in, whose client goes on by
// the secret. If not it is the error that the stranger is refused with, before anything is read
// of what it says.
func (srv *Server) vouch(ctx context.Context, g *guest) error {
	h := g.hello
	question, err := (&errand{Hello: &protocol.ClientHello{V: h.V, Session: h.Session, Secret: h.Secret, Down: protocol.DownCheck}}).append(nil)
	if err != nil {
		panic(err) // strings
	}
	ctx, cancel := context.WithTimeout(ctx, dockTime)
	defer cancel()
	verdict := g.stranger
	for _, node := range g.homes {
		did, err := srv.send(ctx, node, question)
		switch {
		case err != nil:
			verdict = errAway
		case did.Refused != nil:
			return did.Refused
		case did.Why == "" && !did.Stranger:
			return nil
		}
	}
	return verdict
}

// answerKept says which of the client's messages was the last that was taken.
func answerKept(w http.ResponseWriter, n uint64) {
	writeAnswer(w, append(protocol.Append(nil, protocol.Message{Kind: protocol.Kept, ID: n}), '\n'))
}

func writeAnswer(w http.ResponseWriter, body []byte) {
	for field, values := range pollHead.Header {
		w.Header()[field] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // who is gone needs no answer
}

// runFor runs an errand of another node.
func (srv *Server) runFor(ctx context.Context, from string, b []byte) ([]byte, error) {
	e, err := parseErrand(b)
	if err != nil {
		return nil, err
	}
	did, err := srv.runHere(ctx, from, e)
	if err != nil {
		var refused *Refusal
		if !errors.As(err, &refused) {
			return nil, err
		}
		did = report{Refused: refused}
	}
	return did.append(nil)
}

func (srv *Server) runHere(ctx context.Context, from string, e errand) (did report, err error) {
	h := e.Hello
	g := &guest{hello: h, known: srv.known(h), id: Identity{UID: e.UID, Expires: e.Expires}, ticketed: e.Ticket}
	switch {
	case g.known == nil:
		return report{Why: protocol.WhyExpired}, nil
	case h.Token == "" && h.Ticket == "" && g.known.isTicketed():
		g.ticketed = true
		if g.id, err = g.known.identity(); err != nil {
			return report{}, err
		}
	case !e.Known:
		return report{Stranger: true}, nil
	}
	if h.Down == protocol.DownCheck { // that is all
		return report{}, nil
	}
	s, why := srv.resume(g)
	if s == nil {
		return report{Why: why}, nil
	}
	l, err := srv.read(&body{bufio.NewReader(bytes.NewReader(e.said))})
	defer l.free()
	if err == nil && h.Down != "" {
		err = s.post(ctx, h.From, l)
	}
	if err != nil {
		return report{}, err
	}
	l.free() // a poll may be held
	switch h.Down {
	case protocol.DownNone:
		did.Kept = s.kept()
	case protocol.DownPoll:
		did.body, err = s.poll(ctx, h)
	default:
		did.Tunnel = s.dock(ctx, from, h)
	}
	return did, err
}

// poll has a connection in memory carry the session, until there is an answer.
func (s *Session) poll(ctx context.Context, h *protocol.ClientHello) ([]byte, error) {
	link, conn := new(transport.Config).MemoryStream(transport.FramingStream, 0)
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	a := &arrival{link: link, how: Poll, resumed: true, received: h.Received, acked: h.Acked, first: h.First}
	if !s.arrive(a) {
		a.dismiss(protocol.CodeDead, "the session ended")
	}
	link.Hold()
	b, err := io.ReadAll(conn)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, errBroken
	}
	return b, nil
}

// append writes an errand: its head in JSON, behind its length, and what is said.
func (e *errand) append(dst []byte) ([]byte, error) { return appendHead(dst, e, e.said) }

func parseErrand(b []byte) (e errand, err error) {
	e.said, err = cutHead(b, &e)
	if err == nil && e.Hello == nil {
		err = fmt.Errorf("%w: no hello", errWire)
	}
	return e, err
}

// append writes a report, in the same way.
func (did *report) append(dst []byte) ([]byte, error) { return appendHead(dst, did, did.body) }

func parseReport(b []byte) (did report, err error) {
	did.body, err = cutHead(b, &did)
	return did, err
}

func appendHead(dst []byte, head any, rest []byte) ([]byte, error) {
	b, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	return append(appendBytes(dst, b), rest...), nil
}

func cutHead(b []byte, head any) (rest []byte, err error) {
	b, rest, err = cutBytes(b)
	if err == nil {
		if err = json.Unmarshal(b, head); err != nil {
			err = fmt.Errorf("%w: %w", errWire, err)
		}
	}
	return rest, err
}
