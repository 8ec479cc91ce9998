package store

import "github.com/traceroom/traceroom/rooms"

func scanUser(r row) (rooms.User, error) {
	var u rooms.User
	var created, updated int64
	err := r.Scan(&u.ID, &u.Name, &u.Handle, &created, &updated)
	u.CreatedAt, u.UpdatedAt = fromMilli(created), fromMilli(updated)
	return u, err
}

func handleTaken(u rooms.User) error {
	return &rooms.Error{Code: rooms.CodeConflict, Field: "handle", Detail: "handle " + u.Handle + " is taken"}
}
