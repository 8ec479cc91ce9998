package rooms

import (
	"context"
	"errors"
	"time"
)

// Send implements Service.
func (h *Hub) Send(ctx context.Context, p Post, done func(*Message, bool, error)) error {
	if err := CheckText("text", p.Text, MaxTextLength); err != nil {
		return err
	}
	if err := CheckRef("ref", p.Ref); err != nil {
		return err
	}
	if h.closing.Load() {
		return errClosing
	}
	if p.ParentID != "" {
		if err := h.checkParent(ctx, p); err != nil {
			return err
		}
	}
	if p.Received.IsZero() {
		p.Received = time.Now()
	}
	at := stamp(p.Received)
	post := &posting{
		message: Message{
			RoomID: p.RoomID, ClientID: p.ClientID, Text: p.Text, IsReply: p.IsReply, ParentID: p.ParentID,
			CreatedAt: at, UpdatedAt: at, Trace: p.Trace,
		},
		ref: p.Ref, transport: p.Transport, received: p.Received, done: done,
	}
	t := task{ctx: ctx, post: post}
	if p.From != nil {
		post.from = p.From
		ok, err := p.From.room.queue.admit(ctx, t)
		if err != nil || ok {
			return err
		}
	}
	for {
		ok, err := h.room(p.RoomID).queue.admit(ctx, t)
		if err != nil || ok {
			return err
		}
	}
}

// PostMessage implements Service.
func (h *Hub) PostMessage(ctx context.Context, p Post) (m *Message, repeated bool, err error) {
	if _, err := h.User(ctx, p.ClientID); errors.Is(err, ErrNotFound) {
		return nil, false, NotFound("user", "user_id", p.ClientID)
	} else if err != nil {
		return nil, false, err
	}
	if _, err := h.storedRoom(ctx, p.RoomID); err != nil {
		return nil, false, err
	}
	type result struct {
		m        *Message
		repeated bool
		err      error
	}
	ch := make(chan result, 1)
	if err := h.Send(ctx, p, func(m *Message, repeated bool, err error) { ch <- result{m, repeated, err} }); err != nil {
		return nil, false, AsError(err)
	}
	select {
	case r := <-ch:
		return r.m, r.repeated, r.err
	case <-ctx.Done():
		return nil, false, NotKnown(ctx.Err())
	}
}

// checkParent returns an *Error unless the message that p answers is in its room. If that message has been deleted since p was
// stored, a repetition of p is still accepted.
func (h *Hub) checkParent(ctx context.Context, p Post) error {
	parent, err := h.Message(ctx, p.ParentID)
	if err == nil && parent.RoomID == p.RoomID {
		return nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if p.Ref != "" {
		_, err := h.store.Sent(ctx, p.RoomID, p.ClientID, p.Ref)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrNotFound) {
			return AsError(err)
		}
	}
	return NotFound("message", "parent_message_id", p.ParentID)
}

// Typing implements Service.
func (h *Hub) Typing(ctx context.Context, m *Member) error {
	h.publish(ctx, &Event{Kind: EventTyping, RoomID: m.RoomID, ClientID: m.ClientID, Transport: m.Conn.Transport, Received: time.Now()})
	return nil
}

// Messages implements Service.
func (h *Hub) Messages(ctx context.Context, roomID string, q Query) (Page, error) {
	for {
		room, err := h.storedRoom(ctx, roomID)
		if err != nil {
			return Page{}, err
		}
		page := Page{Epoch: room.Epoch, Reset: q.Since != nil && resets(*q.Since, q.Epoch, room)}
		most := partLimit
		if q.Since != nil && !page.Reset {
			most.Messages = min(most.Messages, q.Limit)
			page.Messages, page.More, err = h.store.After(ctx, roomID, *q.Since, most)
		} else {
			page.Messages, page.More, err = h.store.Newest(ctx, roomID, 0, q.Limit, most)
		}
		if err != nil {
			return Page{}, AsError(err)
		}
		n := len(page.Messages)
		if n == 0 || page.Messages[n-1].Generation == room.Generation {
			page.More = page.More && n < q.Limit
			return page, nil
		}
		// The room was deleted and created anew between the two reads.
	}
}

// Message implements Service.
func (h *Hub) Message(ctx context.Context, id string) (*Message, error) {
	if err := CheckID("message_id", id); err != nil {
		return nil, err
	}
	m, err := h.store.Message(ctx, id)
	if err != nil {
		return nil, AsError(err)
	}
	return m, nil
}

// DeleteMessage implements Service.
func (h *Hub) DeleteMessage(ctx context.Context, id string) error {
	if err := CheckID("message_id", id); err != nil {
		return err
	}
	if err := h.store.DeleteMessage(ctx, id); err != nil {
		return AsError(err)
	}
	return nil
}
