package rooms

import (
	"context"
	"slices"
)

// partLimit bounds a part of a history, and the messages that are delivered together.
var partLimit = ReadLimit{Messages: HistoryPart, Bytes: HistoryPartBytes}

// historyPart is a part of a room's history, encoded in one format.
type historyPart struct {
	asked historyQuery
	event *Event
	bytes []byte
}

// historyQuery says which part of a history is asked for, and how far the room was then. Equal queries have equal answers.
type historyQuery struct {
	format   Format
	kind     partKind
	reset    bool
	after    int64
	position Head
	known    int64
}

type partKind uint8

// What a part is of; 0: the joiner's format has no history.
const (
	newestPart  partKind = iota + 1 // the first of the newest messages
	resumedPart                     // the first of those after a sequence number
	laterPart                       // of those that follow
)

// historyParts are the parts that were read while one batch of tasks is done, at most maxParts. Clients that join together, as after
// a restart, are mostly handed the same part: it is read and encoded once (TestWhoJoinsAtTheSameMomentSharesWhatIsReadAndEncoded).
type historyParts []*historyPart

const maxParts = 4

func (ps historyParts) find(q historyQuery) *historyPart {
	for _, p := range ps {
		if p.asked == q {
			return p
		}
	}
	return nil
}

func (ps *historyParts) keep(p *historyPart) {
	if len(*ps) == maxParts {
		*ps = slices.Delete(*ps, 0, 1)
	}
	*ps = append(*ps, p)
}

// someHistory tells whether a format encodes histories.
var someHistory = &Event{Kind: EventHistory, History: []*Message{{}}}

// historyFor reads the part of the history that j is handed next, unless another joiner has been handed it just now.
func (r *room) historyFor(ctx context.Context, j *joining) (*historyPart, error) {
	q := historyQuery{format: j.member.Conn.Sink.Format(), kind: laterPart, after: j.after}
	if !j.begun {
		if len(q.format.Append(nil, someHistory, "")) == 0 {
			return &historyPart{event: &Event{}}, nil
		}
		since := j.req.Since
		if since != nil && *since > r.known {
			// Another node may have shown the client more than this one has been told of.
			info, err := r.hub.store.Room(ctx, r.id)
			if err != nil {
				return nil, err
			}
			r.adopt(ctx, info)
		}
		q.kind = newestPart
		q.reset = since != nil && resets(*since, j.req.Epoch, Room{LastSeq: r.known, Epoch: r.epoch})
		if since != nil && !q.reset {
			q.kind, q.after = resumedPart, *since
		}
	}
	q.position, q.known = Head{r.generation, r.delivered}, r.known
	if p := r.parts.find(q); p != nil {
		return p, nil
	}
	ev, err := r.readHistory(ctx, q)
	if err != nil {
		return nil, err
	}
	p := &historyPart{asked: q, event: ev, bytes: r.encoder.encode([]arrival{{ctx, ev}}, q.format)}
	r.parts.keep(p)
	return p, nil
}

// readHistory reads a part from the store.
func (r *room) readHistory(ctx context.Context, q historyQuery) (*Event, error) {
	ev := &Event{Kind: EventHistory, RoomID: r.id, Epoch: r.epoch, Reset: q.reset}
	var err error
	switch q.kind {
	case newestPart:
		ev.History, ev.More, err = r.hub.store.Newest(ctx, r.id, 0, HistoryLength, partLimit)
	case laterPart:
		ev.History, ev.More, err = r.hub.store.After(ctx, r.id, q.after, partLimit)
	case resumedPart:
		ev.History, ev.More, err = r.hub.store.Newest(ctx, r.id, q.after, MaxResume, partLimit)
		if err == nil && len(ev.History) > 0 && ev.History[0].Seq > q.after+1 {
			// Messages are missing before it: left out, as there are too many, or deleted.
			var first []*Message
			first, _, err = r.hub.store.After(ctx, r.id, q.after, ReadLimit{Messages: 1})
			ev.Truncated = len(first) > 0 && first[0].Seq < ev.History[0].Seq
		}
	}
	return ev, err
}

// push hands p to m alone. It reports false if m's queue is full; otherwise done, if not nil, is called with the outcome.
func (p *historyPart) push(m *Member, done func(Delivered)) bool {
	d := &delivery{dones: []func(Delivered){done}}
	return m.Conn.Sink.Push(d.bundle(p.asked.format, p.bytes, 1, 1))
}

// resets reports whether a client that has the messages up to since, in this epoch, has something else than the room holds.
func resets(since int64, epoch string, room Room) bool {
	return since > room.LastSeq || epoch != "" && epoch != room.Epoch
}
