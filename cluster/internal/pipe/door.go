package pipe

import (
	"errors"
	"io"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
)

// door counts whom the credentials turn away.
type door struct {
	credentials.TransportCredentials
	strangers *atomic.Uint64
}

// ServerHandshake lets in who has the key. Who hangs up before a word is no stranger:
// so do health checks.
func (d *door) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := d.TransportCredentials.ServerHandshake(conn)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		d.strangers.Add(1)
	}
	return c, info, err
}

func (d *door) Clone() credentials.TransportCredentials {
	return &door{d.TransportCredentials.Clone(), d.strangers}
}
