//go:build linux

package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// Process is a node in a process of its own. One goroutine at a time gives it orders.
type Process struct {
	Options Options
	Address string // of its remote
	Began   int64  // when it began to start, on the clock of the machine

	cmd     *exec.Cmd
	in      io.Closer
	orders  *json.Encoder
	reports *json.Decoder
	stderr  bytes.Buffer
}

// Start starts one, by the command given, and waits until it has started.
func Start(o Options, name string, args ...string) (*Process, error) {
	p := &Process{Options: o, cmd: exec.Command(name, args...)}
	p.cmd.Stderr = &p.stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.in, p.orders, p.reports = in, json.NewEncoder(in), json.NewDecoder(out)
	if err := p.orders.Encode(o); err != nil {
		return nil, p.failed(err)
	}
	r, err := p.report()
	if err != nil {
		return nil, err
	}
	p.Address, p.Began = r.Address, r.At
	return p, nil
}

// Do gives an order and waits for what came of it.
func (p *Process) Do(o Order) (Report, error) {
	if err := p.orders.Encode(o); err != nil {
		return Report{}, p.failed(err)
	}
	return p.report()
}

func (p *Process) report() (r Report, err error) {
	if err = p.reports.Decode(&r); err != nil {
		return r, p.failed(err)
	}
	if r.Error != "" {
		err = fmt.Errorf("node %s: %w", p.Options.Name, errors.New(r.Error))
	}
	return r, err
}

// failed ends the process and tells what it said.
func (p *Process) failed(err error) error {
	p.Kill()
	return fmt.Errorf("node %s: %w: %s", p.Options.Name, err, bytes.TrimSpace(p.stderr.Bytes()))
}

// Pause has the process stand still.
func (p *Process) Pause() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }

// Kill ends it as a crash would.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// Stop ends it by the end of its input.
func (p *Process) Stop() error {
	_ = p.in.Close()
	return p.cmd.Wait()
}
