package rooms

import (
	"context"
	"errors"
)

// CreateRoom implements Service.
func (h *Hub) CreateRoom(ctx context.Context, id, name string) (Room, bool, error) {
	if id == "" {
		id = NewID()
	}
	if err := CheckID("room_id", id); err != nil {
		return Room{}, false, err
	}
	if name == "" {
		name = id
	}
	if err := CheckText("name", name, MaxNameLength); err != nil {
		return Room{}, false, err
	}
	room, created, err := h.createRoom(ctx, id, name)
	if err != nil {
		return Room{}, false, AsError(err)
	}
	if created {
		return room, true, nil
	}
	room, err = h.withParticipants(ctx, room)
	return room, false, err
}

// createRoom creates the room within the limit of rooms, or returns the one that has this id, and false.
func (h *Hub) createRoom(ctx context.Context, id, name string) (Room, bool, error) {
	place, err := h.census.create(ctx)
	if err != nil {
		return Room{}, false, err
	}
	if !place {
		room, err := h.store.Room(ctx, id)
		if errors.Is(err, ErrNotFound) {
			return Room{}, false, &Error{Code: CodeLimit, Detail: "the server has as many rooms as it takes; delete one or join an existing one"}
		}
		return room, false, err
	}
	room, created, err := h.store.CreateRoom(ctx, Room{ID: id, Name: name, CreatedAt: now()})
	h.census.created(created)
	return room, created, err
}

// Room implements Service.
func (h *Hub) Room(ctx context.Context, id string) (Room, error) {
	room, err := h.storedRoom(ctx, id)
	if err != nil {
		return Room{}, err
	}
	return h.withParticipants(ctx, room)
}

// storedRoom returns the room as the store has it, without its participants.
func (h *Hub) storedRoom(ctx context.Context, id string) (Room, error) {
	if err := CheckID("room_id", id); err != nil {
		return Room{}, err
	}
	room, err := h.store.Room(ctx, id)
	if err != nil {
		return Room{}, AsError(err)
	}
	return room, nil
}

// withParticipants returns room with its participants filled in.
func (h *Hub) withParticipants(ctx context.Context, room Room) (Room, error) {
	one := [1]Room{room}
	if err := h.presence.Fill(ctx, one[:]); err != nil {
		return Room{}, AsError(err)
	}
	return one[0], nil
}

// Rooms implements Service.
func (h *Hub) Rooms(ctx context.Context) ([]Room, error) {
	counted := h.census.survey()
	rooms, err := h.store.Rooms(ctx)
	if err != nil {
		return nil, AsError(err)
	}
	counted(len(rooms))
	if err := h.presence.Fill(ctx, rooms); err != nil {
		return nil, AsError(err)
	}
	return rooms, nil
}

// DeleteRoom implements Service.
func (h *Hub) DeleteRoom(ctx context.Context, id string) error {
	if err := CheckID("room_id", id); err != nil {
		return err
	}
	if h.closing.Load() {
		return errClosing
	}
	if err := h.inRoom(ctx, ctx.Done(), id, func(r *room) error { return r.delete(ctx) }); err != nil {
		return AsError(err)
	}
	return nil
}
