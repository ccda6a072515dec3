//go:build !unix

package main

import (
	"errors"
	"syscall"
)

const (
	sigStop = syscall.Signal(19)
	sigCont = syscall.Signal(18)
)

func send(int, syscall.Signal) error { return errors.ErrUnsupported }
