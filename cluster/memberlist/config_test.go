package memberlist

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	key := testKey
	tests := map[string]struct {
		cfg   Config
		field string
	}{
		"zero":                               {Config{}, ""},
		"loopback without a key":             {Config{BindAddr: "127.0.0.9:0"}, ""},
		"loopback of IPv6":                   {Config{BindAddr: "[::1]:7946"}, ""},
		"all addresses with a key":           {Config{BindAddr: ":7946", Key: key}, ""},
		"all addresses, said to be so":       {Config{BindAddr: ":7946", Insecure: true}, ""},
		"all addresses without a key":        {Config{BindAddr: ":7946"}, "BindAddr"},
		"an address without a key":           {Config{BindAddr: "10.0.0.1:7946"}, "BindAddr"},
		"all of IPv6, advertised":            {Config{BindAddr: "[::]:7946", AdvertiseAddr: "[fd00::1]:0", Key: key}, ""},
		"all of IPv6, not advertised":        {Config{BindAddr: "[::]:7946", Key: key}, "AdvertiseAddr"},
		"a name to bind":                     {Config{BindAddr: "localhost:7946"}, "BindAddr"},
		"no port to bind":                    {Config{BindAddr: "127.0.0.1"}, "BindAddr"},
		"a name to advertise":                {Config{AdvertiseAddr: "node:7946"}, "AdvertiseAddr"},
		"nowhere to advertise":               {Config{AdvertiseAddr: "0.0.0.0:7946"}, "AdvertiseAddr"},
		"key of 24 bytes":                    {Config{Key: []byte(strings.Repeat("k", 24))}, ""},
		"key of 32 bytes":                    {Config{Key: []byte(strings.Repeat("k", 32))}, ""},
		"key of 15 bytes":                    {Config{Key: key[:15]}, "Key"},
		"empty key":                          {Config{BindAddr: ":7946", Key: []byte{}}, "BindAddr"},
		"seed by name":                       {Config{Join: []string{"a.b:1", "[::1]:2"}}, ""},
		"seed without a port":                {Config{Join: []string{"a:1", "b"}}, "Join[1]"},
		"seed without a host":                {Config{Join: []string{":1"}}, "Join[0]"},
		"fails too soon":                     {Config{FailAfter: time.Millisecond}, "FailAfter"},
		"fails too late":                     {Config{FailAfter: time.Hour}, "FailAfter"},
		"name of a cluster that is too long": {Config{Cluster: strings.Repeat("c", 256)}, "Cluster"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := New(test.cfg)
			var wrong *ConfigError
			if test.field == "" && err != nil || test.field != "" && (!errors.As(err, &wrong) || wrong.Field != test.field) {
				t.Errorf("%v, want an error of %q", err, test.field)
			}
			if err != nil && strings.Contains(err.Error(), string(key[:15])) {
				t.Errorf("the error tells the key: %v", err)
			}
		})
	}
}
