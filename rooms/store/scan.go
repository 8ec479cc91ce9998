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
	return &m, scanInto(&m, r, (*storedID)(&m.ID), (*storedID)(&m.ParentID), (*storedParent)(&m.Trace.Parent))
}

func scanMessage(r row) (*rooms.Message, error) {
	var m rooms.Message
	var parent sql.NullString
	err := scanInto(&m, r, &m.ID, &parent, &m.Trace.Parent)
	m.ParentID = parent.String
	return &m, err
}

// scanInto scans a message, of which id, parent and traceparent are told where they go.
func scanInto(m *rooms.Message, r row, id, parent, trace any) error {
	var created, updated int64
	err := r.Scan(&m.RoomID, &m.Generation, &m.Seq, id, &m.ClientID, &m.Text, &m.IsReply, parent, &created, &updated, trace, &m.Trace.State)
	m.CreatedAt, m.UpdatedAt = fromMilli(created), fromMilli(updated)
	return err
}

func scanUser(r row) (rooms.User, error) {
	var u rooms.User
	var created, updated int64
	err := r.Scan(&u.ID, &u.Name, &u.Handle, &created, &updated)
	u.CreatedAt, u.UpdatedAt = fromMilli(created), fromMilli(updated)
	return u, err
}

func fromMilli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
