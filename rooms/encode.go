package rooms

import "slices"

// encoder encodes deliveries for a room, in memory that it keeps. It belongs to the room's goroutine.
//
// The memory kept saves 6 of 38 allocations a message, and 750 of 5,700 bytes (BenchmarkMessage in package web).
type encoder struct {
	scratch []byte // what the last delivery was encoded in, empty
	ends    []int  // where in the last result of encode each event ends
}

// maxScratch is the largest memory that an encoder keeps, in bytes.
const maxScratch = 64 << 10

// encode returns the events of batch in format f, without the refs, which only their senders are told. The result is the
// caller's.
func (e *encoder) encode(batch []arrival, f Format) []byte {
	p := e.scratch[:0]
	e.ends = e.ends[:0]
	for _, a := range batch {
		p = f.Append(p, a.ev, "")
		e.ends = append(e.ends, len(p))
	}
	if cap(p) <= maxScratch {
		e.scratch = p
	}
	return slices.Clone(p)
}

// encodeFor returns messages for m, the sender of some of them: encoded, which is the last result of encode for batch and m's
// format, with m's own messages encoded again, with their refs. Where all members send at once, encoding everything for each of
// them would take the square of their number: TestMessagesAreEncodedOnceForAllAndOnceForTheirSender counts.
func (e *encoder) encodeFor(m *Member, batch []arrival, encoded []byte) []byte {
	size := len(encoded)
	for _, a := range batch {
		if a.ev.from == m {
			size += len(a.ev.Ref) + refOverhead
		}
	}
	p := make([]byte, 0, size)
	copied, begin := 0, 0 // bytes of encoded that are in p; where the event begins
	for i, a := range batch {
		if a.ev.from == m && a.ev.Ref != "" {
			p = append(p, encoded[copied:begin]...)
			p = m.audience.format.Append(p, a.ev, a.ev.Ref)
			copied = e.ends[i]
		}
		begin = e.ends[i]
	}
	return append(p, encoded[copied:]...)
}

// refOverhead is about how many bytes a ref takes in any format besides its own: its name, and a longer length of the frame.
const refOverhead = 32
