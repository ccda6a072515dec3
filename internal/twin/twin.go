// Package twin runs the program's own executable once more, as a second process
// that plays the clients of the first or is to suffer in its place. The two talk
// in JSON, one value a message, over the second's standard input and output.
//
// A process starts others with [Start]. It finds out by [Role] that it is one
// itself, and then speaks through [First]. It ends when its input does, so that
// none outlives the process that started it.
package twin

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// role is the environment variable that tells the second process what it is.
const role = "TROUPE_TWIN"

// Role is the name the process was started with, "" for the first.
func Role() string { return os.Getenv(role) }

// Line is one end of the conversation. One goroutine may Tell while another Hears.
type Line struct {
	in  *json.Decoder
	out *json.Encoder
}

// First is the line to the process that started this one.
func First() *Line { return newLine(os.Stdin, os.Stdout) }

func newLine(in io.Reader, out io.Writer) *Line {
	return &Line{in: json.NewDecoder(in), out: json.NewEncoder(out)}
}

// Tell sends a value.
func (l *Line) Tell(v any) error { return l.out.Encode(v) }

// Hear waits for a value. It is io.EOF when the other process has ended.
func (l *Line) Hear(v any) error { return l.in.Decode(v) }

// Ask is Tell and then Hear.
func (l *Line) Ask(question, answer any) error {
	if err := l.Tell(question); err != nil {
		return err
	}
	return l.Hear(answer)
}

// Process is a second process.
type Process struct {
	*Line
	cmd   *exec.Cmd
	input io.Closer
}

// Start runs this program again under a name of the role it is to play, if given
// by another command, such as ip netns exec. What it writes to standard error
// goes to ours. It must be ended.
func Start(name string, by ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("twin: %w", err)
	}
	argv := append(by, self)
	p := &Process{cmd: exec.Command(argv[0], argv[1:]...)}
	p.cmd.Env = append(os.Environ(), role+"="+name)
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("twin: %w", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("twin: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("twin: %w", err)
	}
	p.Line, p.input = newLine(out, in), in
	return p, nil
}

// End closes the process's input and waits for it.
func (p *Process) End() error {
	_ = p.input.Close() // it may have ended by itself
	return p.cmd.Wait()
}

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }
