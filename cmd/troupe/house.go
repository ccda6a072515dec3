package main

import (
	"net/http"

	"github.com/troupe-actors/troupe/actors"
)

// house is everything that is served, and the actors behind it.
type house struct {
	rt   *actors.Runtime
	chat *chat
	mux  *http.ServeMux
}

// openHouse starts the lobby and lays out the addresses. The house is to be
// closed before its runtime stops.
func openHouse(rt *actors.Runtime, o chatOptions, limits lobbyLimits) (*house, error) {
	o.node.listen(rt) // before the lobby asks who is there, so that it misses nobody
	chat, err := newChat(rt, o)
	if err != nil {
		return nil, err
	}
	if chat.lobby, err = spawnLobby(chat.srv, o.node, limits); err != nil {
		return nil, err
	}
	h := &house{rt: rt, chat: chat, mux: http.NewServeMux()}
	h.mux.Handle("/", page())
	h.mux.Handle("/healthz", o.node.health(rt))
	h.mux.Handle("/chat", chat.srv)
	for path, endpoint := range map[string]func(*actors.Runtime) (*actors.Endpoint, error){
		"/echo":  echoEndpoint,
		"/clock": clockEndpoint,
	} {
		ep, err := endpoint(rt)
		if err != nil {
			h.close()
			return nil, err
		}
		h.mux.Handle(path, ep)
	}
	return h, nil
}

// close ends the lobby and with it the rooms, and waits for them. Nobody is in
// them any more.
func (h *house) close() { _ = h.rt.System().Root.StopFuture(h.chat.lobby).Wait() }
