package mailbox

// gap is the Message of an item that stands for messages that were lost in its place:
// so many. Two are never next to each other.
type gap int

// isGap is the Count of such an item.
const isGap = -2

func gapOf(messages int) Item { return Item{Message: gap(messages), Count: isGap, Extra: true} }

// Gap is how many messages were lost in the place of an item that Take gave; 0: it is
// one itself.
func (it *Item) Gap() int {
	if it.Count != isGap {
		return 0
	}
	return int(it.Message.(gap))
}

// absorb makes one gap of two.
func (it *Item) absorb(behind Item) bool {
	if it.Count != isGap || behind.Count != isGap {
		return false
	}
	it.Message = it.Message.(gap) + behind.Message.(gap)
	return true
}

// gapBehind leaves a gap behind what waits: Take gives it in its turn, when the owner
// has had what was taken before.
func (m *Mailbox) gapBehind(messages int) {
	one := gapOf(messages)
	m.mu.Lock()
	if !m.sealed && (m.out.empty() || !m.out.newest().absorb(one)) {
		m.out.push(one)
	}
	m.scheduleAndUnlock()
}

// gapBefore leaves a gap before what waits. mu is held.
func (m *Mailbox) gapBefore(messages int) {
	one := gapOf(messages)
	if !m.out.empty() && one.absorb(*m.out.oldest()) {
		m.out.pop()
	}
	m.out.pushFront(one)
}
