package load

// ledger keeps the account of one room: who has seen which message, and whether all see one order. Its owner is the
// goroutine that reads.
type ledger struct {
	alive   int
	sent    uint32
	from    []uint16 // by message: the member that sent it
	missing []uint16 // by message: how many members have yet to see it
	place   []int32  // by message: where it stands in order; -1: nobody has seen it
	order   []uint32 // by place: the message, as the first member to come that far saw it

	delivered int64
	misplaced int64

	// complete is called for each message that the last member has seen.
	complete func(n uint32)
}

// view is what one member has seen.
type view struct {
	next int      // the place in its room's order that it comes to next
	seen []uint64 // a bit a message
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

// see says that a member has seen message n. It reports whether that counts as a delivery: not if nobody sent it or the
// member has seen it before. A delivery in another order than that of the others counts, and is noted.
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

// leave says that the member with this view is gone.
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

// mark sets the bit of message n. It reports false if it was set.
func (v *view) mark(n uint32) bool {
	word, bit := int(n/64), uint64(1)<<(n%64)
	for word >= len(v.seen) {
		v.seen = append(v.seen, 0)
	}
	was := v.seen[word]
	v.seen[word] = was | bit
	return was&bit == 0
}
