package lane

const (
	headMax  = 3                  // bytes of the longest head
	maxPiece = MaxFrame - headMax // bytes of the longest piece
)

// headBytes is how long the head of a piece of n bytes is.
func headBytes(n int) int {
	switch {
	case n < 1<<6:
		return 1
	case n < 1<<13:
		return 2
	}
	return 3
}

// putHead writes the head of a piece of n bytes to b[:headBytes(n)].
func putHead(b []byte, n int, more bool) {
	v := uint(n) << 1
	if more {
		v |= 1
	}
	switch headBytes(n) {
	case 1:
		b[0] = byte(v)
	case 2:
		_ = b[1]
		b[0], b[1] = byte(v)|0x80, byte(v>>7)
	default:
		_ = b[2]
		b[0], b[1], b[2] = byte(v)|0x80, byte(v>>7)|0x80, byte(v>>14)
	}
}

// head reads the head that b begins with: the bytes of its piece, whether the record
// goes on, and the length of the head, 0 if it is not the shortest for its value or
// not there.
func head(b []byte) (n int, more bool, size int) {
	var v uint
	switch {
	case len(b) > 0 && b[0] < 0x80:
		v, size = uint(b[0]), 1
	case len(b) > 1 && b[1] < 0x80 && b[1] != 0:
		v, size = uint(b[0]&0x7f)|uint(b[1])<<7, 2
	case len(b) > 2 && b[1] >= 0x80 && b[2] < 0x80 && b[2] != 0:
		v, size = uint(b[0]&0x7f)|uint(b[1]&0x7f)<<7|uint(b[2])<<14, 3
	}
	return int(v >> 1), v&1 != 0, size
}

// layout says what is in a frame, or what is wrong with it: the length of its first
// piece with the head, and where the piece begins that the next frame goes on with:
// at its end if there is none. joining says that the first goes on with a record.
func layout(b []byte, joining bool) (first, last int, wrong string) {
	if len(b) == 0 {
		return 0, 0, "it is empty"
	}
	if len(b) > MaxFrame {
		return 0, 0, "it is larger than a frame"
	}
	for at := 0; at < len(b); {
		n, more, size := head(b[at:])
		switch {
		case size == 0:
			return 0, 0, "a head is cut or longer than it need be"
		case n > len(b)-at-size:
			return 0, 0, "a piece is longer than what is there"
		case more && n < len(b)-at-size:
			return 0, 0, "something follows a piece that goes on"
		case n == 0 && (more || joining && at == 0):
			return 0, 0, "a piece of a record is empty"
		}
		if at == 0 {
			first = size + n
		}
		if more {
			return first, at, ""
		}
		at += size + n
	}
	return first, len(b), ""
}
