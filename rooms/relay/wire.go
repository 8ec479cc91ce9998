package relay

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/traceroom/traceroom/rooms"
)

// wireVersion is the first byte of an event between nodes. A version may be extended by fields at the end, which older nodes do not
// read. Any other change needs a new version. Nodes ignore events of versions that they do not know, and read from the store what
// they miss.
const wireVersion = 1

// errWire: the bytes are not an event that this version can read.
var errWire = errors.New("relay: not an event")

// appendEvent appends ev, encoded for other nodes, to dst: the version, the kind, and the fields in order; numbers as varints,
// strings with their length before them. The room's id is in the subject, the trace context in headers.
func appendEvent(dst []byte, ev *rooms.Event, sent time.Time) []byte {
	dst = append(dst, wireVersion, byte(ev.Kind))
	dst = binary.AppendVarint(dst, sent.UnixMicro())
	dst = binary.AppendVarint(dst, ev.Received.UnixMicro())
	dst = binary.AppendVarint(dst, ev.Generation)
	dst = appendString(dst, ev.ClientID)
	dst = appendString(dst, ev.Transport)
	switch ev.Kind {
	case rooms.EventMessage:
		m := ev.Message
		dst = appendString(dst, m.ID)
		dst = binary.AppendVarint(dst, m.Seq)
		dst = appendString(dst, m.Text)
		reply := byte(0)
		if m.IsReply {
			reply = 1
		}
		dst = append(dst, reply)
		dst = appendString(dst, m.ParentID)
		dst = binary.AppendVarint(dst, m.CreatedAt.UnixMilli())
		dst = binary.AppendVarint(dst, m.UpdatedAt.UnixMilli())
		dst = appendString(dst, m.Trace.Parent)
		dst = appendString(dst, m.Trace.State)
	case rooms.EventJoined, rooms.EventLeft:
		dst = binary.AppendVarint(dst, int64(ev.Participants))
		dst = binary.AppendVarint(dst, ev.Turn)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// parseEvent is the reverse of appendEvent. The result does not refer to p.
func parseEvent(roomID string, p []byte) (*rooms.Event, error) {
	r := reader{p: p}
	if r.byte() != wireVersion {
		return nil, errWire
	}
	ev := &rooms.Event{RoomID: roomID, Kind: rooms.EventKind(r.byte())}
	ev.Relayed = time.UnixMicro(r.number())
	ev.Received = time.UnixMicro(r.number())
	ev.Generation = r.number()
	ev.ClientID = r.string()
	ev.Transport = r.string()
	switch ev.Kind {
	case rooms.EventMessage:
		m := &rooms.Message{RoomID: roomID, Generation: ev.Generation, ClientID: ev.ClientID}
		m.ID = r.string()
		m.Seq = r.number()
		m.Text = r.string()
		m.IsReply = r.byte() != 0
		m.ParentID = r.string()
		m.CreatedAt = time.UnixMilli(r.number()).UTC()
		m.UpdatedAt = time.UnixMilli(r.number()).UTC()
		m.Trace.Parent = r.string()
		m.Trace.State = r.string()
		ev.Message = m
	case rooms.EventJoined, rooms.EventLeft:
		ev.Participants = int(r.number())
		ev.Turn = r.number()
	case rooms.EventTyping, rooms.EventRoomDeleted:
	default:
		return nil, errWire
	}
	if r.failed {
		return nil, errWire
	}
	return ev, nil
}

// maxAge is how old an event of another node may be. No event takes longer: one that seems to was measured by clocks that differ, or
// that were set meanwhile.
const maxAge = 30 * time.Second

// received returns when another node received ev, by this node's clock, which shows now. The clocks of other machines are not
// trusted: a duration that is impossible counts as zero.
func received(ev *rooms.Event, now time.Time) time.Time {
	if ev.Received.IsZero() {
		return ev.Received
	}
	var age time.Duration
	for _, part := range []time.Duration{ev.Relayed.Sub(ev.Received), now.Sub(ev.Relayed)} { // on the other node, and on the way
		if part > 0 && part <= maxAge {
			age += part
		}
	}
	return now.Add(-age)
}

// reader reads fields. If one is missing, it sets failed, and that field and all later ones are zero.
type reader struct {
	p      []byte
	failed bool
}

func (r *reader) byte() byte {
	if len(r.p) == 0 {
		r.failed = true
		return 0
	}
	b := r.p[0]
	r.p = r.p[1:]
	return b
}

func (r *reader) number() int64 {
	v, n := binary.Varint(r.p)
	if n <= 0 {
		r.p, r.failed = nil, true
		return 0
	}
	r.p = r.p[n:]
	return v
}

func (r *reader) string() string {
	length, n := binary.Uvarint(r.p)
	if n <= 0 || length > uint64(len(r.p)-n) {
		r.p, r.failed = nil, true
		return ""
	}
	s := string(r.p[n : n+int(length)])
	r.p = r.p[n+int(length):]
	return s
}
