package transport

import (
	"net"
	"net/http"
)

// CanTakeOver reports whether [TakeOver] may be called: the request came by HTTP/1.1, and
// the response writer, or one that it wraps, can be hijacked.
func CanTakeOver(w http.ResponseWriter, r *http.Request) bool {
	return r.ProtoMajor == 1 && canHijack(w)
}

// TakeOver answers a request for a WebSocket, without extensions, and returns the
// connection itself, whose frames are the caller's affair. A non-empty subprotocol must be
// one the client offered. What is wrong with the request is found before the connection is
// taken, and the error is then as Config.WebSocket's.
func TakeOver(w http.ResponseWriter, r *http.Request, subprotocol string) (*TakenOver, error) {
	if !CanTakeOver(w, r) {
		return nil, errNoHijack
	}
	subprotocol, err := new(Config).checkWebSocket(w, r, nil, subprotocol)
	if err != nil {
		return nil, err
	}
	head := answerUpgrade(w, r, nil, subprotocol, "")
	nc, early, err := hijack(w)
	if err != nil {
		return nil, err
	}
	if head != nil {
		if _, err := nc.Write(head); err != nil {
			nc.Close()
			return nil, err
		}
	}
	return &TakenOver{nc, early}, nil
}

// TakenOver is the connection of a WebSocket, from its first frame.
type TakenOver struct {
	net.Conn
	early []byte // read already
}

func (c *TakenOver) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	c.early = c.early[n:]
	return n, nil
}

// CloseWrite ends what is written, where the connection can do that.
func (c *TakenOver) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
