package tstypes

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// types are the declarations of types that have names in Go.
type types struct {
	event        string // whose types are looked at
	names        map[reflect.Type]string
	taken        map[string]bool
	declarations []string
	err          error // the first
}

func newTypes() *types {
	return &types{names: make(map[reflect.Type]string), taken: map[string]bool{"Events": true}}
}

var (
	timeType      = reflect.TypeFor[time.Time]()
	rawType       = reflect.TypeFor[json.RawMessage]()
	numberType    = reflect.TypeFor[json.Number]()
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// message is what an event's data is: bytes are themselves there.
func (t *types) message(of reflect.Type) string {
	if of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Uint8 && !marshals(of, marshaler) && !marshals(of, textMarshaler) {
		return "Uint8Array"
	}
	return t.of(of)
}

// of is a Go type as TypeScript has it.
func (t *types) of(of reflect.Type) string {
	switch {
	case of == timeType:
		return "string"
	case of == rawType:
		return "unknown"
	case of == numberType:
		return "number"
	case of.Kind() == reflect.Pointer:
		return orNull(t.of(of.Elem()))
	case of.Kind() == reflect.Interface, marshals(of, marshaler):
		return "unknown"
	case marshals(of, textMarshaler):
		return "string"
	case of.Name() == "" || of.PkgPath() == "" || isNumber(of.Kind()) || of.Kind() == reflect.Bool:
		return t.structure(of)
	}
	return t.named(of)
}

// named is the name of a type that has one, and is declared with it.
func (t *types) named(of reflect.Type) string {
	if name, known := t.names[of]; known {
		return name
	}
	name := identifier(of.Name())
	for n := 2; t.taken[name]; n++ {
		name = identifier(of.Name()) + strconv.Itoa(n)
	}
	t.names[of], t.taken[name] = name, true
	at := len(t.declarations)
	t.declarations = append(t.declarations, "") // before those it names
	if of.Kind() == reflect.Struct {
		t.declarations[at] = fmt.Sprintf("export interface %s {%s\n}\n", name, t.object(of, "\n  "))
	} else {
		t.declarations[at] = fmt.Sprintf("export type %s = %s;\n", name, t.structure(of))
	}
	return name
}

// structure is what a type is made of.
func (t *types) structure(of reflect.Type) string {
	switch kind := of.Kind(); {
	case kind == reflect.Bool:
		return "boolean"
	case kind == reflect.String:
		return "string"
	case isNumber(kind):
		return "number"
	case kind == reflect.Slice && of.Elem().Kind() == reflect.Uint8:
		return "string | null" // base64
	case kind == reflect.Slice:
		return orNull(array(t.of(of.Elem())))
	case kind == reflect.Array:
		return array(t.of(of.Elem()))
	case kind == reflect.Map && isKey(of.Key()):
		return orNull("Record<string, " + t.of(of.Elem()) + ">")
	case kind == reflect.Struct:
		return "{" + t.object(of, " ") + " }"
	}
	if t.err == nil {
		t.err = &TypeError{t.event, of}
	}
	return "never"
}

// object is the fields of a struct, each after a separator.
func (t *types) object(of reflect.Type, separator string) string {
	var b strings.Builder
	for _, f := range fieldsOf(of) {
		optional, ts := "", t.field(f)
		if f.optional {
			optional = "?"
		}
		if f.omitted {
			ts = strings.TrimSuffix(ts, " | null") // it is left out then
		}
		fmt.Fprintf(&b, "%s%s%s: %s;", separator, property(f.name), optional, ts)
	}
	return b.String()
}

func (t *types) field(f field) string {
	of := f.of
	if f.quoted {
		for of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if of.Kind() == reflect.String || of.Kind() == reflect.Bool || isNumber(of.Kind()) {
			return "string"
		}
	}
	return t.of(f.of)
}

func orNull(ts string) string {
	if ts == "unknown" || strings.HasSuffix(ts, " | null") {
		return ts
	}
	return ts + " | null"
}

func array(ts string) string {
	if strings.Contains(ts, " | ") {
		ts = "(" + ts + ")"
	}
	return ts + "[]"
}

func isNumber(k reflect.Kind) bool { return k >= reflect.Int && k <= reflect.Float64 }

// isKey reports whether JSON can name a map's entries by such keys.
func isKey(of reflect.Type) bool {
	return of.Kind() == reflect.String || isNumber(of.Kind()) && of.Kind() < reflect.Float32 || marshals(of, textMarshaler)
}

// marshals reports whether a type, or a pointer to it, writes itself.
func marshals(of, how reflect.Type) bool {
	return of.Implements(how) || reflect.PointerTo(of).Implements(how)
}

var (
	paths   = regexp.MustCompile(`[\w.\-/]*[./]`) // of packages, in the names of instances
	strange = regexp.MustCompile(`\W+`)
	plain   = regexp.MustCompile(`^[A-Za-z_$][\w$]*$`)
)

// identifier is the name of a type as TypeScript can have it: Page[main.Item] is
// PageItem.
func identifier(name string) string {
	if i := strings.IndexByte(name, '['); i >= 0 {
		name = name[:i] + paths.ReplaceAllString(name[i:], "")
	}
	parts := strange.Split(name, -1)
	for i, p := range parts[1:] {
		if p != "" {
			parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "")
}

func property(name string) string {
	if plain.MatchString(name) {
		return name
	}
	b, err := json.Marshal(name)
	if err != nil {
		panic(err) // it is a string
	}
	return string(b)
}
