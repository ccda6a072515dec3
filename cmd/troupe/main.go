// Command troupe serves a chat, an echo and a clock, each connection of which
// is a supervised actor. It shows how a server is written with this module, and
// is what one can point a browser or a load test at.
//
//	GET /         the chat page                       page.go
//	     /chat    events: a window of a person        chat.go ──► lobby.go ──► room.go
//	GET /echo     WebSocket: what comes goes back     echo.go
//	GET /clock    events or lines: the time           clock.go
//	GET /healthz  200, or 503 while going away        node.go
//
// One actor holds each session, one each room, and one, the lobby, knows the
// rooms. Where messages go:
//
//	browser ─events─► visit (session) ─say, rename…─► room ─Publish─► all in the room
//	                    ├─enter─► lobby ─enter─► room ─welcome─► this session
//	                    │            ▲  └─Publish: the list of rooms─► all
//	                    │            └─census─ room
//	                    └─look: its connection has come, or is gone─► room
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // for as long as the process lives
		<-signals
		// Before the drain begins, so that the next signal surely finds the
		// system's own handling, which ends the process.
		signal.Stop(signals)
		cancel()
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK    = 0
	exitRun   = 1 // it could not do what was asked
	exitUsage = 2 // what was asked makes no sense
)

const usage = `Usage:
  troupe serve [flags]   serve the chat page, /chat, /echo, /clock and /healthz
  troupe types           print the types of the chat's events for TypeScript
  troupe version         print the version
  troupe help            print this

What it serves:
  /          the chat page
  /chat      its events, over WebSockets, server-sent events or polls
  /echo      a WebSocket that sends back what it gets, up to 16 MiB a message,
             compressed if the client offers it
  /clock     the time every second, as server-sent events or a plain stream
  /healthz   200 while new connections are welcome, else 503: while going away, and
             with --join until another node was met, or for 10 s

Flags of serve:
`

// run is the whole program. It returns its exit code; the end of ctx is the
// signal to drain and stop.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := command(ctx, args, stdout, stderr)
	var wrong usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "troupe: %v\nRun 'troupe help' for usage.\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "troupe: %v\n", err)
	return exitRun
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return usageError("no command")
	}
	switch args[0] {
	case "serve":
		o, err := parseFlags(args[1:])
		if errors.Is(err, errHelp) {
			return help(stdout)
		}
		if err != nil {
			return err
		}
		return serve(ctx, o, stdout, o.logger(stderr))
	case "types":
		if len(args) > 1 {
			return usageError(fmt.Sprintf("types: unexpected argument %q", args[1]))
		}
		return writeTypes(ctx, stdout)
	case "version", "-version", "--version":
		if len(args) > 1 {
			return usageError(fmt.Sprintf("version: unexpected argument %q", args[1]))
		}
		_, err := fmt.Fprintln(stdout, version())
		return err
	case "help", "-h", "-help", "--help":
		return help(stdout)
	}
	return usageError(fmt.Sprintf("unknown command %q", args[0]))
}

func help(w io.Writer) error {
	if _, err := io.WriteString(w, usage); err != nil {
		return err
	}
	fs := new(options).flags()
	fs.SetOutput(w)
	fs.PrintDefaults()
	return nil
}

func version() string {
	v := "(devel)"
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		v = b.Main.Version
	}
	return fmt.Sprintf("troupe %s %s %s/%s", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// usageError is a command line that cannot be obeyed.
type usageError string

func (e usageError) Error() string { return string(e) }
