package tstypes

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/troupe-actors/troupe/events"
)

// TypeError is a type that JSON has nothing for.
type TypeError struct {
	Event string
	Type  reflect.Type
}

func (e *TypeError) Error() string {
	return fmt.Sprintf("tstypes: the event %q: JSON has nothing for a %v", e.Event, e.Type)
}

// Write writes the types of what the server says and hears. Errors are those of w, and
// a *[TypeError].
func Write(w io.Writer, srv *events.Server) error {
	t := newTypes()
	var sections [4]strings.Builder
	for _, d := range srv.Declared() {
		t.event = d.Name
		line := fmt.Sprintf("    %s: %s;\n", property(d.Name), t.message(d.Data))
		at := 0
		if d.Answer != nil {
			line = fmt.Sprintf("    %s: [%s, %s];\n", property(d.Name), t.message(d.Data), t.message(d.Answer))
			at = 2
		}
		if d.Server == (d.Answer != nil) {
			at++
		}
		sections[at].WriteString(line)
	}
	if t.err != nil {
		return t.err
	}
	var b strings.Builder
	b.WriteString("// Code generated from Go types by troupe. DO NOT EDIT.\n\n/** The events of this application, for connect. */\nexport interface Events {\n")
	for i, section := range []string{
		"  /** What the server says. */\n  in: {\n",
		"  /** What clients say. */\n  out: {\n",
		"  /** What clients ask, and the answers. */\n  ask: {\n",
		"  /** What the server asks, and the answers. */\n  answer: {\n",
	} {
		b.WriteString(section + sections[i].String() + "  };\n")
	}
	b.WriteString("}\n")
	for _, declaration := range t.declarations {
		b.WriteString("\n" + declaration)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
