package rooms

import (
	"context"
	"slices"
)

// joining is a join under way. What a joiner is shown may be long, and its peer slow: it is handed one part of it after the
// other. Each step is a task of the room's goroutine; between two steps Hub.Join waits until the part has been written, so that
// no more than one waits in memory. The step that reaches the newest message adds the member.
type joining struct {
	member  *Member
	req     Join
	written chan bool // gets whether a part was, unless the step added the member; capacity 1, so that sending never blocks

	begun      bool
	generation int64 // of the room whose history it is; the fields below belong to the steps
	after      int64 // the newest message that it was handed
}

// partLimit bounds what a joiner is handed, and what is delivered, at once.
var partLimit = Part{Messages: HistoryPart, Bytes: HistoryPartBytes}

// errDeletedMeanwhile is what a joiner gets whose room was deleted between two parts of its history.
var errDeletedMeanwhile = &Error{Code: CodeUnavailable, Detail: "the room was deleted while its history was sent; reconnect"}

// join does one step. It reports whether it added the member; if not, there is more to be handed out.
func (r *room) join(ctx context.Context, j *joining) (joined bool, err error) {
	ctx, cancel := r.budget(ctx)
	defer cancel()
	p, err := r.ready(ctx, j)
	if err != nil {
		return false, err
	}
	m := j.member
	if p.event.More {
		j.begun, j.generation = true, r.gen
		j.after = p.event.History[len(p.event.History)-1].Seq
		if !p.push(m, func(out Delivered) { j.written <- out.ByTransport[0].Written == 1 }) {
			return false, errFull
		}
		return false, nil
	}
	// A client without a history is told the epoch.
	if len(p.bytes) > 0 && !p.push(m, nil) {
		return false, errFull
	}
	r.add(m)
	if r.clients[m.ClientID] == 1 {
		m.counted = r.hub.presence.Enter(ctx, m.participant(r.gen))
	}
	return true, nil
}

// ready returns what j is handed next. If that is the end, it brings the room to where that is: the store may be ahead of what
// this node has been told. The others get now what they lack, so that from here on all of the room's members have seen the
// same, and nobody is handed again what the history showed or the client had before.
func (r *room) ready(ctx context.Context, j *joining) (*part, error) {
	for {
		if err := r.load(ctx); err != nil {
			return nil, err
		}
		if j.begun && (!r.loaded || r.gen != j.generation) {
			return nil, errDeletedMeanwhile
		}
		if !r.loaded {
			info, _, err := r.hub.createRoom(ctx, r.id, r.id)
			if err != nil {
				return nil, err
			}
			r.adopt(ctx, info)
		}
		p, err := r.part(ctx, j)
		if err != nil {
			return nil, err
		}
		life := r.life
		if err := r.verify(ctx, p); err != nil {
			return nil, err
		}
		there := r.loaded && r.life == life
		if there && p.event.More {
			return p, nil
		}
		if there {
			r.want = max(r.want, j.after)
		}
		for _, message := range p.event.History {
			if there && message.Seq > r.seq {
				r.hold(stored(ctx, message))
			}
		}
		if r.participants.Load() == 0 {
			r.skip()
		} else if err := r.fill(ctx); err != nil {
			return nil, err
		}
		if r.loaded && r.life == life {
			return p, nil
		}
		// It was deleted meanwhile: it is created anew, unless another node has done so.
	}
}

// verify sees whether the room was deleted before p was read: it may be that of a room that was created anew.
func (r *room) verify(ctx context.Context, p *part) error {
	history := p.event.History
	switch {
	case len(history) > 0 && history[0].Generation != r.gen:
		r.gone(ctx)
	case len(history) == 0 && p.asked.kind != 0 && p.asked.after < r.want:
		// What there should be was deleted, message by message or with the room.
		_, err := r.exists(ctx)
		return err
	}
	return nil
}

var errFull = &Error{Code: CodeLimit, Detail: "the connection's queue is full"}

// part is a part of a room's history as a format has it. Joiners who ask for the same at the same time share it.
type part struct {
	asked asked
	event *Event
	bytes []byte
}

// asked is what a joiner asks for, and how far the room was.
type asked struct {
	format Format
	kind   partKind
	reset  bool
	after  int64
	room   Head
	want   int64
}

type partKind uint8

// What a part is of.
const (
	newestPart  partKind = iota + 1 // the first of the newest messages
	resumedPart                     // the first of those after a sequence number
	laterPart                       // the following
)

// someHistory is for asking whether a format has a form for history.
var someHistory = &Event{Kind: EventHistory, History: []*Message{{}}}

// keepParts is how many parts are kept for other joiners until the tasks that came together are done.
const keepParts = 4

// part reads the part of the history that j is to be handed next, or takes the one that another joiner was handed just now.
func (r *room) part(ctx context.Context, j *joining) (*part, error) {
	a := asked{format: j.member.Conn.Sink.Format(), kind: laterPart, after: j.after}
	if !j.begun {
		if len(a.format.Append(nil, someHistory, "")) == 0 {
			return &part{event: &Event{}}, nil // it is shown no history
		}
		since := j.req.Since
		if since != nil && *since > r.want {
			// The client may have been shown more by another node than this one has been told of.
			info, err := r.hub.store.Room(ctx, r.id)
			if err != nil {
				return nil, err
			}
			r.adopt(ctx, info)
		}
		a.kind = newestPart
		a.reset = since != nil && resets(*since, j.req.Epoch, Room{LastSeq: r.want, Epoch: r.epoch})
		if since != nil && !a.reset {
			a.kind, a.after = resumedPart, *since
		}
	}
	a.room, a.want = Head{r.gen, r.seq}, r.want
	for _, p := range r.parts {
		if p.asked == a {
			return p, nil
		}
	}
	ev, err := r.read(ctx, a)
	if err != nil {
		return nil, err
	}
	p := &part{asked: a, event: ev, bytes: r.encode([]arrival{{ctx, ev}}, a.format)}
	if len(r.parts) == keepParts {
		r.parts = slices.Delete(r.parts, 0, 1)
	}
	r.parts = append(r.parts, p)
	return p, nil
}

// read reads a part from the store.
func (r *room) read(ctx context.Context, a asked) (*Event, error) {
	ev := &Event{Kind: EventHistory, RoomID: r.id, Epoch: r.epoch, Reset: a.reset}
	var err error
	switch a.kind {
	case newestPart:
		ev.History, ev.More, err = r.hub.store.Newest(ctx, r.id, 0, HistoryLength, partLimit)
	case laterPart:
		ev.History, ev.More, err = r.hub.store.After(ctx, r.id, a.after, partLimit)
	case resumedPart:
		ev.History, ev.More, err = r.hub.store.Newest(ctx, r.id, a.after, MaxResume, partLimit)
		if err == nil && len(ev.History) > 0 && ev.History[0].Seq > a.after+1 {
			// Something was left out, unless it has been deleted.
			var first []*Message
			first, _, err = r.hub.store.After(ctx, r.id, a.after, Part{Messages: 1})
			ev.Truncated = len(first) > 0 && first[0].Seq < ev.History[0].Seq
		}
	}
	return ev, err
}

// push hands p to m alone. done, if not nil, is told what became of it, unless push returns false.
func (p *part) push(m *Member, done func(Delivered)) bool {
	d := &delivery{dones: []func(Delivered){done}}
	return m.Conn.Sink.Push(d.bundle(p.asked.format, p.bytes, 1, 1))
}
