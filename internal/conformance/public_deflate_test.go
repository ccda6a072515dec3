package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// compressed are the sizes of messages, and of the frames they go in (0: one each),
// of every group in sections 12 and 13.
var compressed = []struct{ size, frame int }{
	{16, 0}, {64, 0}, {256, 0}, {1024, 0}, {4096, 0}, {8192, 0}, {16384, 0}, {32768, 0}, {65536, 0}, {131072, 0},
	{8192, 256}, {16384, 256}, {32768, 256}, {65536, 256}, {131072, 256}, {131072, 1024}, {131072, 4096}, {131072, 32768},
}

const deflate = "permessage-deflate"

// plainOffer is what the original's client offers where a case asks for nothing.
const plainOffer = deflate + "; client_no_context_takeover; client_max_window_bits"

// asking are the offers of section 13.
var asking = []string{
	plainOffer,
	deflate + "; client_no_context_takeover; server_no_context_takeover; client_max_window_bits",
	deflate + "; client_no_context_takeover; client_max_window_bits; server_max_window_bits=8",
	deflate + "; client_no_context_takeover; client_max_window_bits; server_max_window_bits=15",
	deflate + "; client_no_context_takeover; server_no_context_takeover; client_max_window_bits; server_max_window_bits=8",
	deflate + "; client_no_context_takeover; server_no_context_takeover; client_max_window_bits; server_max_window_bits=15",
	deflate + "; client_no_context_takeover; server_no_context_takeover; client_max_window_bits; server_max_window_bits=8, " +
		deflate + "; client_no_context_takeover; server_no_context_takeover; client_max_window_bits, " + plainOffer,
}

// compressionCases are sections 12 and 13.
func compressionCases() (list []publicCase) {
	add := func(section, group int, offer string, m material) {
		for i, k := range compressed {
			list = append(list, publicCase{
				number: fmt.Sprintf("%d.%d.%d", section, group, i+1),
				offer:  offer,
				play:   func(c *client) error { return m.exchange(c, k.size, k.frame) },
				limit:  8 * time.Minute,
			})
		}
	}
	for i, m := range materials() {
		add(12, i+1, plainOffer, m)
	}
	for i, offer := range asking {
		add(13, i+1, offer, materials()[0])
	}
	return list
}

// messages is how many of a size are sent: the original sends 1,000.
func messages(size int) int {
	switch extent {
	case "full":
		return 1000
	case "all":
		return min(1000, max(8, 256<<10/size))
	}
	return 2
}

// exchange sends pieces of the material, compressed, each when the echo of the one
// before has come.
func (m material) exchange(c *client, size, frame int) error {
	peer := transporttest.NewPeer(c.conn, c.in)
	if err := peer.UseCompression(c.response.Header.Get("Sec-WebSocket-Extensions")); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	at := 0
	for i := range messages(size) {
		var data string
		data, at = m.piece(at, size)
		z := string(peer.Deflate([]byte(data)))
		if frame == 0 {
			frame = max(1, len(z))
		}
		c.send(fragments(bitRsv1, byte(m.op), z, frame))
		op, echo, err := peer.ReadMessage(ctx)
		switch {
		case err != nil:
			return errors.Join(fmt.Errorf("message %d", i), err, c.lost)
		case op != transport.Opcode(m.op) || string(echo) != data:
			return fmt.Errorf("message %d: %d bytes of opcode %d are not what was sent", i, len(echo), op)
		}
	}
	return nil
}
