package etcd

import (
	"encoding/json"
	"errors"

	"github.com/troupe-actors/troupe/cluster/membership"
)

// value is a member in etcd. A later version of this package may add fields.
type value struct {
	Name     string `json:"name"`
	Addr     string `json:"addr"`
	Epoch    uint64 `json:"epoch"`
	Process  string `json:"process"`
	Draining bool   `json:"draining,omitempty"`
}

var errKey = errors.New("a key that is not its member's")

// key is where m is, below the prefix of its cluster.
func key(m membership.Member) string { return m.Name + "@" + m.Process }

func encode(m membership.Member) string {
	b, err := json.Marshal(value(m))
	if err != nil {
		panic(err) // strings, a number and a bool
	}
	return string(b)
}

// decode returns the valid member that is at k, or an error.
func decode(k string, b []byte) (membership.Member, error) {
	var v value
	if err := json.Unmarshal(b, &v); err != nil {
		return membership.Member{}, err
	}
	m := membership.Member(v)
	if err := m.Validate(); err != nil {
		return membership.Member{}, err
	}
	if key(m) != k {
		return membership.Member{}, errKey
	}
	return m, nil
}
