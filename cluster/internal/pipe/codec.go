package pipe

import (
	"encoding/json"
	"errors"
	"reflect"
)

// Codec puts the application's own types, those that are no protobuf, into
// bytes and back. Its methods are called by many goroutines.
type Codec interface {
	// Name is what peers know it by: they refuse what another codec wrote. It
	// has no colon.
	Name() string
	// Marshal gives the bytes and the name that Unmarshal on the other node
	// knows the type by.
	Marshal(v any) (typeName string, data []byte, err error)
	// Unmarshal makes a value anew. data is valid only during the call.
	Unmarshal(typeName string, data []byte) (any, error)
}

// JSON is a Codec for the types of the given values, which are pointers where
// pointers are sent. On the wire a type has its import path and name. A type
// that is sent and not given here is an error.
func JSON(examples ...any) Codec {
	c := jsonCodec{byName: make(map[string]reflect.Type), byType: make(map[reflect.Type]string)}
	for _, e := range examples {
		t := reflect.TypeOf(e)
		name := qualified(t)
		c.byName[name], c.byType[t] = t, name
	}
	return c
}

func qualified(t reflect.Type) string {
	switch {
	case t.Name() != "" && t.PkgPath() != "":
		return t.PkgPath() + "." + t.Name()
	case t.Kind() == reflect.Pointer:
		return "*" + qualified(t.Elem())
	}
	return t.String()
}

// jsonCodec is not changed after it is made.
type jsonCodec struct {
	byName map[string]reflect.Type
	byType map[reflect.Type]string
}

func (jsonCodec) Name() string { return "json" }

func (c jsonCodec) Marshal(v any) (string, []byte, error) {
	name, ok := c.byType[reflect.TypeOf(v)]
	if !ok {
		return "", nil, errors.New("not among the types of the JSON codec")
	}
	data, err := json.Marshal(v)
	return name, data, err
}

func (c jsonCodec) Unmarshal(name string, data []byte) (any, error) {
	t, ok := c.byName[name]
	if !ok {
		return nil, &UnknownTypeError{Type: "json:" + name}
	}
	v := reflect.New(t)
	if err := json.Unmarshal(data, v.Interface()); err != nil {
		return nil, err
	}
	return v.Elem().Interface(), nil
}
