// Package events is the user layer: users, events and answers, over sessions that
// outlive their connections.
//
// A [Server] is an http.Handler for one URL, which speaks the protocol of
// docs/protocol.md over WebSockets, server-sent events with POSTs, and polls. A
// [Session] is a client's conversation with it: an ordinary [actors.Channel], with
// its PID, mailbox, topics and one Close, whose link is a connection at a time.
//
//	net/http ─► Server ─► hello ─► checks ─► session: new, or gone on with
//	                                            │
//	 handler ◄─ actors.Channel ◄─ Next ── link ─┤ numbers, acknowledgements, replay
//	    └─ Send ─► outbox ─► Queue ─► link ─────┘
//	                                   ▲ │ attach, detach, move
//	                 WebSocket · SSE · poll (transport.Link), POST
//
// What holds beyond the promises of actors:
//
//   - Events, questions and answers arrive in order, and are handled once, in a
//     session, however often its connection is cut. What is lost on purpose (a
//     policy) is told to the client as a gap, in its place.
//   - While its client is away a session keeps what was said and not acknowledged,
//     and its outbox fills under its policies. After [Options].Grace it ends.
//   - Attached and Detached are told of every connection, each once; Close of the
//     session, once.
//   - A user is online while a session of theirs is carried by some transport, and for
//     a grace after: [Server.Online], [Server.Users], [Server.Watch]. Who is in a topic
//     is told in diffs: [Server.WatchTopic], and to its members by a [Roster].
//
// In a cluster (actors.Config.Cluster) servers of the same Options.Channel.Name are one: what is said to
// a topic, a user or all, [Server.SendClient], [AskFirst], [AskSession], [Server.Logout],
// presence and rosters are of all nodes. A session lives on one node, and so does what is told
// of sessions: Sessions, ByUID, Members, Session, Len and Connections are of this node,
// as are tickets and the limits. Its client may come to any of them: what it says or polls for,
// and its connections, go on to the session's node, which its ID tells. There they end in
// memory, so that the handler sees no difference.
//
//	client ─► Server of any node ─► checks ─► errand ══► Server of the session's node
//	                │                                       │ post, poll: the answer
//	                └─ outlet ◄══ pull ── tunnel ── link ◄──┘ connection: a tunnel
//	                          ═══ push ─►
//
// Handlers run on their session's goroutine, one at a time, unless they are
// registered as [Concurrent]. Methods of Server and Session may be called from any
// goroutine unless they say otherwise.
package events
