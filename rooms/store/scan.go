package store

import (
	"database/sql"
	"strconv"
	"time"

	"github.com/traceroom/traceroom/rooms"
)

// row is a row of either database's driver.
type row interface{ Scan(dest ...any) error }

// epochPrefix is what the epochs of all rooms of a database begin with, while it is open; a room's generation follows.
type epochPrefix string

func (p epochPrefix) scanRoom(r row) (rooms.Room, error) {
	var room rooms.Room
	var created, deleted int64
	err := r.Scan(&room.Generation, &room.ID, &room.Name, &created, &room.LastSeq, &deleted)
	room.CreatedAt = fromMilli(created)
	room.Messages = int(room.LastSeq - deleted)
	room.Epoch = string(p) + strconv.FormatInt(room.Generation, 10)
	return room, err
}

// scanSQLiteMessage scans a message from SQLite, where some columns are packed.
func scanSQLiteMessage(r row) (*rooms.Message, error) { return scanSQLiteMore(r) }

// scanSQLiteMore scans a message from SQLite, and the columns behind it into more.
func scanSQLiteMore(r row, more ...any) (*rooms.Message, error) {
	var m rooms.Message
	err := scanInto(&m, r, (*storedID)(&m.ParentID), (*storedParent)(&m.Trace.Parent), more...)
	m.ID = idOf(m.CreatedAt.UnixMilli(), m.Generation<<seqBits+m.Seq)
	return &m, err
}

// scanMessage scans a message from PostgreSQL.
func scanMessage(r row) (*rooms.Message, error) { return scanMore(r) }

// scanMore scans a message from PostgreSQL, and the columns behind it into more.
func scanMore(r row, more ...any) (*rooms.Message, error) {
	var m rooms.Message
	var parent sql.NullString
	err := scanInto(&m, r, &parent, &m.Trace.Parent, append([]any{&m.ID}, more...)...)
	m.ParentID = parent.String
	return &m, err
}

// scanInto scans a message into m, its parent and traceparent into parent and trace, and the columns behind it into more.
func scanInto(m *rooms.Message, r row, parent, trace any, more ...any) error {
	var created, updated int64
	err := r.Scan(append([]any{&m.RoomID, &m.Generation, &m.Seq, &m.ClientID, &m.Text, &m.IsReply, parent, &created, &updated,
		trace, &m.Trace.State}, more...)...)
	m.CreatedAt, m.UpdatedAt = fromMilli(created), fromMilli(updated)
	return err
}

// rows are the rows of a query, of either database's driver.
type rows interface {
	row
	Next() bool
	Err() error
}

// rowsOf returns how many rows scanPart needs: one more than there may be messages.
func rowsOf(most rooms.ReadLimit) int {
	if most.Messages <= 0 {
		return 0
	}
	return most.Messages + 1
}

// scanPart scans as many messages as most allows. It reports whether there are more.
func scanPart(from rows, scan func(row) (*rooms.Message, error), most rooms.ReadLimit) (messages []*rooms.Message, more bool, err error) {
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

func fromMilli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
