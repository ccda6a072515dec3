package actors

import "net/http"

// Recorded is what Channel.Request returns once Open has.
func Recorded(r *http.Request) *http.Request {
	var c Channel
	c.setRequest(r)
	c.packRequest()
	return c.Request()
}
