package transport

import "unicode/utf8"

// utf8Check validates UTF-8 that arrives in pieces and fails at the first byte
// that no continuation can repair. The zero value is the start of a text.
type utf8Check struct {
	need   uint8 // continuation bytes still to come
	lo, hi uint8 // what the next of them may be
}

// feed tells whether the text so far can still become valid.
func (u *utf8Check) feed(p []byte) bool {
	for u.need > 0 && len(p) > 0 {
		if !u.step(p[0]) {
			return false
		}
		p = p[1:]
	}
	// Everything but an unfinished rune at the end goes through the fast check.
	cut := len(p)
	for i := 1; i <= min(utf8.UTFMax-1, len(p)); i++ {
		if b := p[len(p)-i]; utf8.RuneStart(b) {
			if size(b) > i {
				cut = len(p) - i
			}
			break
		}
	}
	if !utf8.Valid(p[:cut]) {
		return false
	}
	for _, b := range p[cut:] {
		if !u.step(b) {
			return false
		}
	}
	return true
}

// done tells whether the text ends between two runes.
func (u *utf8Check) done() bool { return u.need == 0 }

// size is the length of the rune that a byte begins; 1 for bytes that begin none.
func size(b byte) int {
	switch {
	case b >= 0xf0 && b <= 0xf4:
		return 4
	case b >= 0xe0 && b < 0xf0:
		return 3
	case b >= 0xc2 && b < 0xe0:
		return 2
	}
	return 1
}

// step takes one byte. The ranges are those of the Unicode standard, table 3-7.
func (u *utf8Check) step(b byte) bool {
	if u.need > 0 {
		if b < u.lo || b > u.hi {
			return false
		}
		u.need--
		u.lo, u.hi = 0x80, 0xbf
		return true
	}
	if b < utf8.RuneSelf {
		return true
	}
	n := size(b)
	if n == 1 {
		return false
	}
	u.need, u.lo, u.hi = uint8(n-1), 0x80, 0xbf
	switch b {
	case 0xe0:
		u.lo = 0xa0 // overlong
	case 0xed:
		u.hi = 0x9f // surrogates
	case 0xf0:
		u.lo = 0x90 // overlong
	case 0xf4:
		u.hi = 0x8f // above U+10FFFF
	}
	return true
}
