//go:build !linux && !darwin

package faulttest

// starving is nothing where a process's descriptors cannot be bounded.
func starving() {}
