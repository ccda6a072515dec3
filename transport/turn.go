package transport

import "runtime"

// turns are for messages that take a goroutine so long to compress or to inflate
// that others are started in its place, for other links, which then do the same. So
// many work on such messages as there are processors, and hold what that takes; the
// others wait, with nothing in their hands, and for nothing but a processor.
var turns = make(chan struct{}, runtime.GOMAXPROCS(0))

// turnToCompress is what takes a turn to compress: 0.5 ms at the lowest level. To be
// inflated, a message takes one that holds more than a read buffer: who waits behind
// bombs are messages like them.
const turnToCompress = 64 << 10
