package etcd

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Config is a provider's. Endpoints must be set; every other field says its
// default.
type Config struct {
	// Endpoints are the URLs of etcd's servers, such as https://10.0.0.1:2379.
	Endpoints []string

	// Cluster names the cluster: 1 to 128 bytes without '/'. Default "troupe".
	Cluster string

	// TTL is how long a node that is silent stays a member: whole seconds, 1 s to
	// 1 h, default 5 s. etcd may give more than it is asked for.
	TTL time.Duration

	// TLS is for https. Default: what the system trusts, and no certificate.
	TLS *tls.Config

	// Username and Password are those of a user of etcd who may read and write
	// what begins with /troupe/<Cluster>/. Default: no user.
	Username, Password string

	// Logger hears what goes wrong. Default: slog.Default().
	Logger *slog.Logger
}

// ConfigError is a field of a Config that has a value it must not have.
type ConfigError struct {
	Field string
	Value any
	Want  string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("etcd: Config.%s is %v, want %s", e.Field, e.Value, e.Want)
}

// withDefaults is cfg checked, with the default of each field that is not set.
func (cfg Config) withDefaults() (Config, error) {
	if cfg.Cluster == "" {
		cfg.Cluster = "troupe"
	}
	if cfg.TTL == 0 {
		cfg.TTL = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.Endpoints = slices.Clone(cfg.Endpoints)
	switch {
	case len(cfg.Endpoints) == 0 || slices.Contains(cfg.Endpoints, ""):
		return cfg, &ConfigError{"Endpoints", fmt.Sprintf("%q", cfg.Endpoints), "one URL or more"}
	case len(cfg.Cluster) > 128 || strings.Contains(cfg.Cluster, "/"):
		return cfg, &ConfigError{"Cluster", strconv.Quote(cfg.Cluster), "at most 128 bytes without '/'"}
	case cfg.TTL < time.Second || cfg.TTL > time.Hour || cfg.TTL%time.Second != 0:
		return cfg, &ConfigError{"TTL", cfg.TTL, "whole seconds from 1s to 1h, or 0 for the default"}
	}
	return cfg, nil
}

// prefix is what the keys of the cluster's members begin with, and no other's.
func (cfg Config) prefix() string { return "/troupe/" + cfg.Cluster + "/" }

// tries is how a client connects anew: gRPC's defaults would have it wait for up to two
// minutes, and miss the two TTL in which the others wait for it.
func (cfg Config) tries() grpc.ConnectParams {
	return grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: cfg.TTL / 3},
		MinConnectTimeout: max(cfg.TTL/3, time.Second),
	}
}
