package store

import (
	"database/sql"
	"time"

	"github.com/traceroom/traceroom/rooms"
)

// row is a row of either driver.
type row interface{ Scan(dest ...any) error }

func scanRoom(r row) (rooms.Room, error) {
	var room rooms.Room
	var created, deleted int64
	err := r.Scan(&room.Generation, &room.ID, &room.Name, &created, &room.LastSeq, &deleted)
	room.CreatedAt = fromMilli(created)
	room.Messages = int(room.LastSeq - deleted)
	return room, err
}

// scanSQLiteMessage scans a message of SQLite, where some of it is packed.
func scanSQLiteMessage(r row) (*rooms.Message, error) {
	var m rooms.Message
	var created, updated int64
	err := r.Scan(&m.RoomID, &m.Generation, &m.Seq, (*storedID)(&m.ID), &m.ClientID, &m.Text, &m.IsReply, (*storedID)(&m.ParentID),
		&created, &updated, (*storedParent)(&m.Trace.Parent), &m.Trace.State)
	m.CreatedAt, m.UpdatedAt = fromMilli(created), fromMilli(updated)
	return &m, err
}

func scanMessage(r row) (*rooms.Message, error) {
	var m rooms.Message
	var created, updated int64
	var parent sql.NullString
	err := r.Scan(&m.RoomID, &m.Generation, &m.Seq, &m.ID, &m.ClientID, &m.Text, &m.IsReply, &parent, &created, &updated, &m.Trace.Parent, &m.Trace.State)
	m.ParentID = parent.String
	m.CreatedAt, m.UpdatedAt = fromMilli(created), fromMilli(updated)
	return &m, err
}

func scanUser(r row) (rooms.User, error) {
	var u rooms.User
	var created, updated int64
	err := r.Scan(&u.ID, &u.Name, &u.Handle, &created, &updated)
	u.CreatedAt, u.UpdatedAt = fromMilli(created), fromMilli(updated)
	return u, err
}

func fromMilli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
