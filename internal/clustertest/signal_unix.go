//go:build unix

package main

import "syscall"

const (
	sigStop = syscall.SIGSTOP
	sigCont = syscall.SIGCONT
)

func send(process int, s syscall.Signal) error { return syscall.Kill(process, s) }
