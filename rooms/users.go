package rooms

import (
	"context"
	"time"
)

// User is a registered author of messages. Handle is unique.
type User struct {
	ID        string
	Name      string
	Handle    string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// UserService is the part of Service that is about users.
type UserService interface {
	// CreateUser registers a user; CodeConflict if the handle is taken.
	CreateUser(ctx context.Context, name, handle string) (User, error)
	User(ctx context.Context, id string) (User, error)
	// Users lists all users, by creation time, then id.
	Users(ctx context.Context) ([]User, error)
	// DeleteUser deletes the user, whose handle is free again and who can post no more. The user's messages stay.
	DeleteUser(ctx context.Context, id string) error
}

// UserStore is the part of Store that keeps users. Its rules are those of Store.
type UserStore interface {
	// CreateUser stores user; CodeConflict if the handle is taken.
	CreateUser(ctx context.Context, user User) error
	User(ctx context.Context, id string) (User, error)
	// Users lists all users, by creation time, then id.
	Users(ctx context.Context) ([]User, error)
	// DeleteUser deletes the user, whose handle is free again. The user's messages stay.
	DeleteUser(ctx context.Context, id string) error
}

// CreateUser implements UserService.
func (h *Hub) CreateUser(ctx context.Context, name, handle string) (User, error) {
	if err := CheckText("name", name, MaxNameLength); err != nil {
		return User{}, err
	}
	if err := CheckID("handle", handle); err != nil {
		return User{}, err
	}
	at := now()
	u := User{ID: NewID(), Name: name, Handle: handle, CreatedAt: at, UpdatedAt: at}
	if err := h.store.CreateUser(ctx, u); err != nil {
		return User{}, AsError(err)
	}
	return u, nil
}

// User implements UserService.
func (h *Hub) User(ctx context.Context, id string) (User, error) {
	if err := CheckID("user_id", id); err != nil {
		return User{}, err
	}
	u, err := h.store.User(ctx, id)
	if err != nil {
		return User{}, AsError(err)
	}
	return u, nil
}

// Users implements UserService.
func (h *Hub) Users(ctx context.Context) ([]User, error) {
	users, err := h.store.Users(ctx)
	if err != nil {
		return nil, AsError(err)
	}
	return users, nil
}

// DeleteUser implements UserService.
func (h *Hub) DeleteUser(ctx context.Context, id string) error {
	if err := CheckID("user_id", id); err != nil {
		return err
	}
	if err := h.store.DeleteUser(ctx, id); err != nil {
		return AsError(err)
	}
	return nil
}
