package actorstest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Seeds runs a test with n new seeds, in parallel, or with that of TROUPE_SEED
// alone.
//
//	actorstest.Seeds(t, 100, func(t *testing.T, seed uint64) {
//		actorstest.RunSeed(t, seed, actors.Config{}, func(s *actorstest.Sim) { ... })
//	})
func Seeds(t *testing.T, n int, test func(t *testing.T, seed uint64)) {
	t.Helper()
	if seed, ok := seedFromEnv(t); ok {
		test(t, seed)
		return
	}
	for range n {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("TROUPE_SEED=%d", seed), func(t *testing.T) {
			t.Parallel()
			test(t, seed)
		})
	}
}

func anySeed(t testing.TB) uint64 {
	if seed, ok := seedFromEnv(t); ok {
		return seed
	}
	return rand.Uint64()
}

func seedFromEnv(t testing.TB) (uint64, bool) {
	text, ok := os.LookupEnv("TROUPE_SEED")
	if !ok {
		return 0, false
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("TROUPE_SEED: %v", err)
	}
	return seed, true
}
