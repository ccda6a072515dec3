package actors

import (
	"io"
	"net/http"
	"time"
)

// timedBody is a request's body that has to come in time. The deadline is for all
// of it, and holds when the handler has returned and net/http reads what is left.
// It is lifted with the last byte: from then on net/http waits for the client's end
// by reading. Who hijacks the connection lifts it, too.
type timedBody struct {
	io.ReadCloser
	deadline *http.ResponseController
}

// timed is body, which has d to come if that is not negative.
func timed(w http.ResponseWriter, body io.ReadCloser, d time.Duration) io.ReadCloser {
	rc := http.NewResponseController(w)
	if d < 0 || rc.SetReadDeadline(time.Now().Add(d)) != nil {
		return body
	}
	return timedBody{body, rc}
}

func (b timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.deadline.SetReadDeadline(time.Time{}) // it was possible before
	}
	return n, err
}
