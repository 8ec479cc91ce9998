package rooms

import (
	"context"
	"time"
)

// joining is a join under way. The history that a joiner is handed may be long, and its peer slow: it comes in parts, and the
// next part is read when the one before has been written. Each step is a task of the room's goroutine; between two steps Hub.Join waits.
// The step that reaches the newest message adds the member.
//
// The room's goroutine owns the fields behind written, while a step is under way.
type joining struct {
	member  *Member
	req     Join
	written chan bool // receives once per part but the last: whether it was written; capacity 1, so that sending never blocks

	begun      bool  // a part has been handed out
	generation int64 // of the room that it was read from
	after      int64 // the newest message that was handed out
}

// countBudget is the longest that a join waits until all nodes count its client.
const countBudget = time.Second

// Errors of joins.
var (
	// errDeletedMeanwhile: the room was deleted between two parts of its history.
	errDeletedMeanwhile = &Error{Code: CodeUnavailable, Detail: "the room was deleted while its history was sent; reconnect"}
	errFull             = &Error{Code: CodeLimit, Detail: "the connection's queue is full"}
)

// Join implements Service.
func (h *Hub) Join(ctx context.Context, conn *Conn, req Join) (*Member, error) {
	if err := CheckID("room_id", req.RoomID); err != nil {
		return nil, err
	}
	if err := CheckID("client_id", req.ClientID); err != nil {
		return nil, err
	}
	if req.Since != nil && *req.Since < 0 {
		return nil, &Error{Code: CodeInvalid, Field: "since", Detail: "since must be a sequence number, 0 or more"}
	}
	if h.closing.Load() {
		return nil, errClosing
	}
	m := &Member{Conn: conn, RoomID: req.RoomID, ClientID: req.ClientID}
	j := &joining{member: m, req: req, written: make(chan bool, 1)}
	for joined := false; !joined; {
		// ctx does not end the wait: a member whose caller had gone would stay in the room for ever. What the room's goroutine
		// does has its own bounds.
		err := h.inRoom(ctx, nil, req.RoomID, func(r *room) (err error) {
			m.room = r
			joined, err = r.join(ctx, j)
			return err
		})
		if err != nil {
			return nil, AsError(err)
		}
		if !joined {
			if err := h.awaitWritten(ctx, j); err != nil {
				return nil, err
			}
		}
	}
	if m.counted != nil {
		h.awaitCounted(m)
	}
	return m, nil
}

// awaitWritten waits until the part of the history that j was handed has been written. The Sink bounds the wait.
func (h *Hub) awaitWritten(ctx context.Context, j *joining) error {
	select {
	case written := <-j.written:
		if !written {
			return &Error{Code: CodeUnavailable, Detail: "the connection has ended"}
		}
		return nil
	case <-h.stop:
		return errClosing
	case <-ctx.Done():
		return AsError(ctx.Err())
	}
}

// awaitCounted waits until the number of participants that any node tells of a later change has m's client in it.
func (h *Hub) awaitCounted(m *Member) {
	timer := time.NewTimer(countBudget)
	defer timer.Stop()
	select {
	case <-m.counted:
	case <-timer.C:
	case <-h.stop:
	}
}

// join does one step. It reports whether it added the member; if not, a part was handed out and there are more.
func (r *room) join(ctx context.Context, j *joining) (joined bool, err error) {
	ctx, cancel := r.budget(ctx)
	defer cancel()
	p, err := r.nextPart(ctx, j)
	if err != nil {
		return false, err
	}
	m := j.member
	if p.event.More {
		j.begun, j.generation = true, r.generation
		j.after = p.event.History[len(p.event.History)-1].Seq
		if !p.push(m, func(out Delivered) { j.written <- out.ByTransport[0].Written == 1 }) {
			return false, errFull
		}
		return false, nil
	}
	// An empty history is sent as well: it tells the epoch.
	if len(p.bytes) > 0 && !p.push(m, nil) {
		return false, errFull
	}
	r.addMember(m)
	if r.clients[m.ClientID] == 1 {
		m.counted = r.hub.presence.Enter(ctx, m.participant(r.generation))
	}
	return true, nil
}

// nextPart returns the part that j is handed next. Before the last part it brings the room up to where that part ends, as the
// store may be ahead of what this node has been told: the members there are get what they lack now. So all members of the room have
// the same messages from here on, and the joiner is not handed again what the history showed, or what it had before.
func (r *room) nextPart(ctx context.Context, j *joining) (*historyPart, error) {
	for {
		if err := r.load(ctx); err != nil {
			return nil, err
		}
		if j.begun && (!r.loaded || r.generation != j.generation) {
			return nil, errDeletedMeanwhile
		}
		if !r.loaded {
			info, _, err := r.hub.createRoom(ctx, r.id, r.id)
			if err != nil {
				return nil, err
			}
			r.adopt(ctx, info)
		}
		p, err := r.historyFor(ctx, j)
		if err != nil {
			return nil, err
		}
		deletions := r.deletions
		if err := r.verify(ctx, p); err != nil {
			return nil, err
		}
		exists := r.loaded && r.deletions == deletions
		if exists && p.event.More {
			return p, nil
		}
		if exists {
			r.known = max(r.known, j.after)
		}
		for _, message := range p.event.History {
			if exists && message.Seq > r.delivered {
				r.hold(arrivalOf(ctx, message))
			}
		}
		if r.participants.Load() == 0 {
			r.skip()
		} else if err := r.catchUp(ctx); err != nil {
			return nil, err
		}
		if r.loaded && r.deletions == deletions {
			return p, nil
		}
		// The room was deleted meanwhile. It is created anew, unless another node has done so.
	}
}

// verify finds out whether the room was deleted before p was read: p may be of a room that was created anew.
func (r *room) verify(ctx context.Context, p *historyPart) error {
	history := p.event.History
	switch {
	case len(history) > 0 && history[0].Generation != r.generation:
		r.foundDeleted(ctx)
	case len(history) == 0 && p.asked.kind != 0 && p.asked.after < r.known:
		// The messages that should be there were deleted: one by one, or with the room.
		_, err := r.stillExists(ctx)
		return err
	}
	return nil
}
