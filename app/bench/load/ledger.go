package load

// ledger records which members of a room have seen which message, and whether all see the same order. The goroutine that reads
// owns it.
type ledger struct {
	alive   int
	sent    uint32
	from    []uint16 // by message: the member that sent it
	missing []uint16 // by message: how many members have not seen it
	place   []int32  // by message: its index in order; -1 if no member has seen it
	order   []uint32 // messages, in the order in which a member first saw them

	delivered int64
	misplaced int64

	// complete, if not nil, is called with each message that all members have seen.
	complete func(n uint32)
}

// view is what one member has seen.
type view struct {
	next int      // index in its room's order of the next message
	seen []uint64 // one bit for each message
}

// send returns the number of a new message of member from.
func (l *ledger) send(from int) uint32 {
	n := l.sent
	l.sent++
	l.from = append(l.from, uint16(from))
	l.missing = append(l.missing, uint16(l.alive))
	l.place = append(l.place, -1)
	return n
}

// see records that a member has seen message n. It reports whether that is a delivery: not if nobody sent n, or if the member
// has seen it before. A delivery out of order is one, and is counted as misplaced.
func (l *ledger) see(v *view, n uint32) bool {
	if n >= l.sent || !v.mark(n) {
		l.misplaced++
		return false
	}
	l.delivered++
	if l.place[n] < 0 {
		l.place[n] = int32(len(l.order))
		l.order = append(l.order, n)
	}
	at := int(l.place[n])
	if at != v.next {
		l.misplaced++
	}
	v.next = max(v.next, at+1)
	l.tick(n)
	return true
}

// leave records that the member with this view has left.
func (l *ledger) leave(v *view) {
	l.alive--
	for n := range l.sent {
		if v.mark(n) {
			l.tick(n)
		}
	}
}

func (l *ledger) tick(n uint32) {
	l.missing[n]--
	if l.missing[n] == 0 && l.complete != nil {
		l.complete(n)
	}
}

// mark sets the bit of message n. It reports false if the bit was set before.
func (v *view) mark(n uint32) bool {
	word, bit := int(n/64), uint64(1)<<(n%64)
	for word >= len(v.seen) {
		v.seen = append(v.seen, 0)
	}
	was := v.seen[word]
	v.seen[word] = was | bit
	return was&bit == 0
}
