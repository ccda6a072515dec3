package memberlist

import (
	"encoding/binary"
	"errors"

	"github.com/troupe-actors/troupe/cluster/membership"
)

// A node's metadata, at most 512 bytes in the library:
//
//	1 B version · 1 B flags · 8 B epoch, big endian · name · process · addr
//
// each of the last three with 1 B of length before it. A later version of this
// package may append to it; a version that is not 1 is one it cannot be read by.
const (
	metadataVersion = 1
	flagDraining    = 1
)

var errMetadata = errors.New("metadata that no member of this version writes")

// encodeMetadata is m, which is valid, as its node tells it.
func encodeMetadata(m membership.Member) []byte {
	b := []byte{metadataVersion, 0}
	if m.Draining {
		b[1] = flagDraining
	}
	b = binary.BigEndian.AppendUint64(b, m.Epoch)
	for _, s := range []string{m.Name, m.Process, m.Addr} {
		b = append(append(b, byte(len(s))), s...)
	}
	return b
}

// decodeMetadata returns a valid member, or an error.
func decodeMetadata(b []byte) (membership.Member, error) {
	if len(b) < 10 || b[0] != metadataVersion {
		return membership.Member{}, errMetadata
	}
	m := membership.Member{Draining: b[1]&flagDraining != 0, Epoch: binary.BigEndian.Uint64(b[2:])}
	b = b[10:]
	for _, s := range []*string{&m.Name, &m.Process, &m.Addr} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return membership.Member{}, errMetadata
		}
		*s, b = string(b[1:1+int(b[0])]), b[1+int(b[0]):]
	}
	return m, m.Validate()
}

// gossipName is a process's among the library's nodes.
func gossipName(m membership.Member) string { return m.Name + "@" + m.Process }
