package transport

import (
	"errors"
	"net"
)

// errAgain says that a read has nothing now and the sink's Readable will follow.
var errAgain = errors.New("again")

// wire moves the bytes of one connection without waiting. Its owner is the
// link's owner: one goroutine at a time. Only the signals come from elsewhere.
type wire interface {
	// start names the sink and begins to signal.
	start(Sink)

	// wake signals Readable by itself, if start was called.
	wake()

	// dry reports that read would return errAgain: nothing has arrived since it last
	// did. False if that is not known.
	dry() bool

	// read fills p with what has arrived. It returns n > 0, or one of errAgain,
	// io.EOF or what the system said. Without room it takes nothing and tells only
	// an end that is known.
	read(p []byte) (n int, err error)

	// writev takes as much of the buffers as it can without waiting and does not
	// keep them. n short of the whole with a nil error means that Writable will
	// follow. Called without buffers it only tells an earlier error.
	writev(bufs [][]byte) (n int, err error)

	// unsent is how many of the bytes that writev took the system has not seen
	// yet. Writable follows when it has fallen to zero.
	unsent() int

	// closeWrite ends our direction. Called once, with nothing unsent.
	closeWrite() error

	// tear has close reset the connection instead of ending it in order,
	// where that is known.
	tear()

	// close gives everything back. Called once.
	close()

	// yield gives back everything but the connection. That one goes to a function
	// that is called on another goroutine, with the bytes that were read and not
	// taken; it is closed instead if it turns out to be broken. Called once, in
	// place of close and with nothing unsent. False: there is no connection to
	// give and close must follow.
	yield(to func(c net.Conn, early []byte)) bool

	// hold lends the calling goroutine to the wire, if it needs one.
	hold()

	remoteAddr() net.Addr
	localAddr() net.Addr
	driver() Driver
}
