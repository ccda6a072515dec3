package actors

import "net/http"

// Recorded is what Channel.Request returns once Open has.
func Recorded(r *http.Request) *http.Request {
	c := Channel{ep: &Endpoint{opts: Options{KeepHeader: []string{"*"}}}, origin: originOf("name", r, "", 0)}
	c.setRequest(r)
	c.packRequest()
	return c.Request()
}
