package main

import (
	"net/http"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
)

// house is everything that is served, and the actors behind it.
type house struct {
	rt    *actors.Runtime
	lobby *actor.PID
	mux   *http.ServeMux
}

// openHouse starts the lobby and lays out the addresses. The house is to be
// closed before its runtime stops.
func openHouse(rt *actors.Runtime) (*house, error) {
	lobby, err := spawnLobby(rt, lobbyLimits{})
	if err != nil {
		return nil, err
	}
	h := &house{rt: rt, lobby: lobby, mux: http.NewServeMux()}
	h.mux.Handle("/", page())
	h.mux.Handle("/healthz", rt.Health())
	for path, endpoint := range map[string]func() (*actors.Endpoint, error){
		"/chat":  func() (*actors.Endpoint, error) { return chatEndpoint(rt, lobby, patience) },
		"/echo":  func() (*actors.Endpoint, error) { return echoEndpoint(rt) },
		"/clock": func() (*actors.Endpoint, error) { return clockEndpoint(rt) },
	} {
		ep, err := endpoint()
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
func (h *house) close() { _ = h.rt.System().Root.StopFuture(h.lobby).Wait() }
