package main

import "time"

// weather is how the wire behaves, to each packet by itself.
type weather struct {
	loss  float64 // 1: it takes everything and says nothing
	delay time.Duration
}
