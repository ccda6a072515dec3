package transport

import "strings"

// extension is one element of Sec-WebSocket-Extensions (RFC 6455 §9.1).
type extension struct {
	name   string
	params []extensionParam
}

type extensionParam struct {
	key   string
	value string // empty: none is given
}

// parseExtensions reads a list that may go over several header lines. It reports
// false for what the grammar does not have, with which a handshake must fail.
func parseExtensions(lines []string) (all []extension, ok bool) {
	for _, line := range lines {
		s := extensionText(line)
		for s.skip(" \t,"); s != ""; s.skip(" \t,") { // RFC 9110 §5.6.1: elements may be empty
			e, ok := s.extension()
			if !ok {
				return nil, false
			}
			all = append(all, e)
		}
	}
	return all, true
}

// extensionText is what is left to be read of a line.
type extensionText string

func (s *extensionText) skip(chars string) {
	*s = extensionText(strings.TrimLeft(string(*s), chars))
}

// take takes a character, with the space around it, if it is there.
func (s *extensionText) take(c byte) bool {
	s.skip(" \t")
	if *s == "" || (*s)[0] != c {
		return false
	}
	*s = (*s)[1:]
	s.skip(" \t")
	return true
}

// extension takes one, up to the comma behind it.
func (s *extensionText) extension() (e extension, ok bool) {
	if e.name = s.token(); e.name == "" {
		return e, false
	}
	for s.take(';') {
		p := extensionParam{key: s.token()}
		if p.key == "" {
			return e, false
		}
		if s.take('=') {
			if p.value = s.value(); !IsToken(p.value) {
				return e, false
			}
		}
		e.params = append(e.params, p)
	}
	return e, *s == "" || (*s)[0] == ','
}

func (s *extensionText) token() string {
	n := 0
	for n < len(*s) && IsToken(string((*s)[n:n+1])) {
		n++
	}
	t := string((*s)[:n])
	*s = (*s)[n:]
	return t
}

// value is a token or a quoted string, which must hold a token too.
func (s *extensionText) value() string {
	if *s == "" || (*s)[0] != '"' {
		return s.token()
	}
	var b strings.Builder
	for i := 1; i < len(*s); i++ {
		switch c := (*s)[i]; c {
		case '"':
			*s = (*s)[i+1:]
			return b.String()
		case '\\':
			if i++; i < len(*s) {
				b.WriteByte((*s)[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return ""
}
