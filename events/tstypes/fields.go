package tstypes

import (
	"reflect"
	"slices"
	"strings"
)

// field is a member of the JSON object that a struct is.
type field struct {
	name     string
	of       reflect.Type
	optional bool // it may be left out
	omitted  bool // as what is empty
	quoted   bool // in a string
	tagged   bool
	depth    int
	index    []int
}

// fieldsOf are the fields that encoding/json writes, in its order: those of embedded
// structs are the struct's own, and where names meet the least deep wins, or the one
// that is tagged, or none.
func fieldsOf(of reflect.Type) []field {
	var all []field
	collect(of, nil, false, map[reflect.Type]bool{}, &all)
	var won []field
	for _, f := range all {
		if !slices.ContainsFunc(all, func(other field) bool { return other.beats(f) }) {
			won = append(won, f)
		}
	}
	slices.SortFunc(won, func(a, b field) int { return slices.Compare(a.index, b.index) })
	return won
}

// beats reports whether a field of the same name hides another; two that are equal
// hide each other.
func (f field) beats(other field) bool {
	switch {
	case f.name != other.name || slices.Equal(f.index, other.index):
		return false
	case f.depth != other.depth:
		return f.depth < other.depth
	}
	return f.tagged || !other.tagged
}

func collect(of reflect.Type, index []int, optional bool, inside map[reflect.Type]bool, all *[]field) {
	if inside[of] {
		return // it embeds itself: what is deeper is hidden
	}
	inside[of] = true
	defer delete(inside, of)
	for i := range of.NumField() {
		sf := of.Field(i)
		tag := sf.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		at := append(slices.Clip(index), i)
		in := sf.Type
		if in.Kind() == reflect.Pointer {
			in = in.Elem()
		}
		if sf.Anonymous && name == "" && in.Kind() == reflect.Struct && in != timeType && !marshals(in, marshaler) && !marshals(in, textMarshaler) {
			collect(in, at, optional || sf.Type.Kind() == reflect.Pointer, inside, all)
			continue
		}
		if !sf.IsExported() {
			continue
		}
		f := field{name: name, of: sf.Type, optional: optional, tagged: name != "", depth: len(index), index: at}
		if name == "" {
			f.name = sf.Name
		}
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "omitempty":
				f.omitted = canBeEmpty(sf.Type)
			case "omitzero":
				f.omitted = true
			case "string":
				f.quoted = true
			}
		}
		f.optional = f.optional || f.omitted
		*all = append(*all, f)
	}
}

// canBeEmpty reports whether omitempty means anything for a type.
func canBeEmpty(of reflect.Type) bool {
	return of.Kind() != reflect.Struct && (of.Kind() != reflect.Array || of.Len() == 0)
}
