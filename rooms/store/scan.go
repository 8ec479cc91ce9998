package store

import (
	"database/sql"
	"strconv"
	"time"

	"github.com/traceroom/traceroom/rooms"
)

// row is a row of either driver.
type row interface{ Scan(dest ...any) error }

// numbering is what the epochs of all rooms of a database begin with, while it is open.
type numbering string

func (n numbering) scanRoom(r row) (rooms.Room, error) {
	var room rooms.Room
	var created, deleted int64
	err := r.Scan(&room.Generation, &room.ID, &room.Name, &created, &room.LastSeq, &deleted)
	room.CreatedAt = fromMilli(created)
	room.Messages = int(room.LastSeq - deleted)
	room.Epoch = string(n) + strconv.FormatInt(room.Generation, 10)
	return room, err
}

// scanSQLiteMessage scans a message of SQLite, where some of it is packed.
func scanSQLiteMessage(r row) (*rooms.Message, error) { return scanSQLiteMore(r) }

func scanSQLiteMore(r row, more ...any) (*rooms.Message, error) {
	var m rooms.Message
	err := scanInto(&m, r, (*storedID)(&m.ParentID), (*storedParent)(&m.Trace.Parent), more...)
	m.ID = idOf(m.CreatedAt.UnixMilli(), m.Generation<<seqBits+m.Seq)
	return &m, err
}

func scanMessage(r row) (*rooms.Message, error) { return scanMore(r) }

func scanMore(r row, more ...any) (*rooms.Message, error) {
	var m rooms.Message
	var parent sql.NullString
	err := scanInto(&m, r, &parent, &m.Trace.Parent, append([]any{&m.ID}, more...)...)
	m.ParentID = parent.String
	return &m, err
}

// scanInto scans a message, of which parent and traceparent are told where they go, and what more there is in the row.
func scanInto(m *rooms.Message, r row, parent, trace any, more ...any) error {
	var created, updated int64
	err := r.Scan(append([]any{&m.RoomID, &m.Generation, &m.Seq, &m.ClientID, &m.Text, &m.IsReply, parent, &created, &updated,
		trace, &m.Trace.State}, more...)...)
	m.CreatedAt, m.UpdatedAt = fromMilli(created), fromMilli(updated)
	return err
}

// rows are those of a query, of either driver.
type rows interface {
	row
	Next() bool
	Err() error
}

// rowsOf is how many rows scanPart needs: one more than there may be messages.
func rowsOf(most rooms.Part) int {
	if most.Messages <= 0 {
		return 0
	}
	return most.Messages + 1
}

// scanPart scans as many messages as most allows, and reports whether there are more.
func scanPart(from rows, scan func(row) (*rooms.Message, error), most rooms.Part) (messages []*rooms.Message, more bool, err error) {
	bytes := 0
	for from.Next() {
		if len(messages) == most.Messages {
			return messages, true, nil
		}
		m, err := scan(from)
		if err != nil {
			return nil, false, err
		}
		if bytes += len(m.Text); most.Bytes > 0 && bytes > most.Bytes && len(messages) > 0 {
			return messages, true, nil
		}
		messages = append(messages, m)
	}
	return messages, false, from.Err()
}

func scanUser(r row) (rooms.User, error) {
	var u rooms.User
	var created, updated int64
	err := r.Scan(&u.ID, &u.Name, &u.Handle, &created, &updated)
	u.CreatedAt, u.UpdatedAt = fromMilli(created), fromMilli(updated)
	return u, err
}

func fromMilli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
