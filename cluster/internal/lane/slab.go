package lane

import "sync"

// A slab is the memory of one or more frames, one after the other.
type slab struct {
	memory []byte // of MaxFrame
	frames int    // how many of them are held

	// repeated says that one of them was sent twice. The pipe may hold one of the two
	// for longer than until the other is acknowledged: the memory is not used again.
	repeated bool
}

// slabs are what no Sender needs.
var slabs = sync.Pool{New: func() any { return &slab{memory: make([]byte, MaxFrame)} }}

func (b *slab) release() {
	if !b.repeated {
		slabs.Put(b)
	}
}

// A frame has a number, and is held until it is acknowledged.
type frame struct {
	slab     *slab
	from, to int32
	more     bool            // its last record goes on in the next
	cost     [classes]uint32 // of the room of each class
	end      uint64          // what it and all before it cost of credit
}

func (f *frame) bytes() []byte { return f.slab.memory[f.from:f.to:f.to] }

// keptRing is how many frames an empty ring may have place for.
const keptRing = 1024

// A ring finds the frames from number first to last by their number.
type ring struct {
	frames      []frame // a power of two
	first, last uint64
}

func (r *ring) at(seq uint64) *frame { return &r.frames[seq&uint64(len(r.frames)-1)] }

func (r *ring) push(f frame) {
	if r.last-r.first+1 == uint64(len(r.frames)) {
		old := *r
		r.frames = make([]frame, max(16, 2*len(old.frames)))
		for seq := r.first; seq <= r.last; seq++ {
			*r.at(seq) = *old.at(seq)
		}
	}
	r.last++
	*r.at(r.last) = f
}

func (r *ring) pop() {
	*r.at(r.first) = frame{}
	r.first++
	if r.first > r.last && len(r.frames) > keptRing {
		r.frames = nil
	}
}
