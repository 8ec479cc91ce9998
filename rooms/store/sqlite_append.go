package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/traceroom/traceroom/rooms"
	codes "modernc.org/sqlite/lib"
)

// A message's place is the key of its row: the room's number, followed by seqBits of its sequence number.
const (
	seqBits = 36
	maxSeq  = 1<<seqBits - 1
)

// maxKnownRooms bounds what an appender remembers of rooms, some 100 bytes each. A transaction may add its own to that.
const maxKnownRooms = 1 << 16

// appender gives messages their places and writes them. It belongs to whoever has the writer's connection.
//
// This is the only process that writes to the file, so it need not read the sequence numbers again for each append: rooms
// remembers them.
type appender struct {
	inserter
	rooms     map[string]*roomPlace
	mostRooms int // when there are so many, rooms is emptied before the next transaction
}

// roomPlace is where a room's messages are: last is the newest sequence number, and a message's place is base plus its own.
type roomPlace struct {
	base, last int64
}

func newAppender() appender {
	return appender{inserter: newInserter(), rooms: make(map[string]*roomPlace), mostRooms: maxKnownRooms}
}

// Append implements rooms.Store.
func (s *sqliteStore) Append(ctx context.Context, roomID string, drafts []rooms.Draft) error {
	return s.group.append(ctx, roomID, drafts)
}

// commit stores the calls' drafts in one transaction, and sets the calls' errors.
func (s *sqliteStore) commit(ctx context.Context, calls []*call) {
	conn, err := s.w.Conn(ctx)
	if err != nil {
		for _, c := range calls {
			c.err = fmt.Errorf("store: append: %w", err)
		}
		return
	}
	defer conn.Close()

	err = s.commitOn(ctx, conn, calls)
	if err == nil || len(calls) == 1 || sqliteCode(err)&0xff != codes.SQLITE_CONSTRAINT && !errors.Is(err, errNoID) {
		return
	}
	// One of the calls has what cannot be stored, such as a parent that is not the id of a message. The others must not suffer.
	for i := range calls {
		_ = s.commitOn(ctx, conn, calls[i:i+1]) // the error is in the call
	}
}

// commitOn stores the calls' drafts in one transaction: all of them or none, except those for rooms that do not exist. It sets
// the calls' errors, and returns that of the transaction.
func (s *sqliteStore) commitOn(ctx context.Context, conn *sql.Conn, calls []*call) error {
	a := &s.appender
	if len(a.rooms) >= a.mostRooms {
		clear(a.rooms)
	}
	messages, refs := 0, 0
	for _, c := range calls {
		c.reset()
		var room *roomPlace
		if room, c.err = a.room(ctx, conn, c.roomID); c.err != nil {
			continue
		}
		if room.last+int64(len(c.drafts)) > maxSeq {
			c.err = fmt.Errorf("store: append: room %s is full", c.roomID)
			continue
		}
		messages += len(c.drafts)
		for _, d := range c.drafts {
			if d.Ref != "" {
				refs++
			}
		}
	}
	if messages == 0 {
		return nil
	}
	var now time.Time
	if refs > 0 {
		now = s.opts.now()
	}
	insert := func() error {
		return conn.Raw(func(dc any) error {
			a.use(dc.(driver.ConnPrepareContext))
			return a.insert(ctx, calls, messages, refs, now)
		})
	}
	err := insert()
	if errors.Is(err, errRefTaken) {
		var left int
		if left, err = s.findRepeats(ctx, conn, calls); err == nil {
			messages, refs = left, refs-(messages-left)
			err = insert()
		}
	}
	for _, c := range calls {
		switch {
		case c.err != nil:
		case err != nil:
			c.err = fmt.Errorf("store: append: %w", err)
			delete(a.rooms, c.roomID) // what is remembered of it may be the cause
		default:
			room := a.rooms[c.roomID]
			for _, d := range c.drafts {
				if !d.Repeated {
					room.last++
					m := d.Message
					m.Generation, m.Seq, m.ID = room.base>>seqBits, room.last, idOf(m.CreatedAt.UnixMilli(), room.base+room.last)
				}
			}
			c.copyFirsts()
		}
	}
	if err == nil && messages > 0 {
		s.checkpointer.wake()
		if refs > 0 {
			s.forgetter.wake()
		}
		s.opts.BatchCommitted(messages)
	}
	return err
}

const sqlRoomPlace = `
SELECT number, coalesce((SELECT place FROM messages WHERE place > number << 36 AND place < (number + 1) << 36
                         ORDER BY place DESC LIMIT 1), number << 36)
FROM rooms WHERE id = ?`

// room returns where the room's messages are. It reads that the first time.
func (a *appender) room(ctx context.Context, conn *sql.Conn, id string) (*roomPlace, error) {
	if room := a.rooms[id]; room != nil {
		return room, nil
	}
	var number, last int64
	switch err := conn.QueryRowContext(ctx, sqlRoomPlace, id).Scan(&number, &last); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, rooms.NotFound("room", "room_id", id)
	case err != nil:
		return nil, fmt.Errorf("store: append: %w", err)
	}
	room := &roomPlace{base: number << seqBits, last: last & maxSeq}
	a.rooms[id] = room
	return room, nil
}

// insert writes the drafts of the calls that have not failed: messages in all, refs of which have a ref. A single statement is a
// transaction of its own, and cheaper than BEGIN and COMMIT around it: within them SQLite keeps a journal for each statement,
// which was a fifth of the cost of 64 rooms that write at once (BenchmarkAppendRooms).
func (a *appender) insert(ctx context.Context, calls []*call, messages, refs int, now time.Time) (err error) {
	if messages > maxRows || refs > 0 {
		if err := a.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
			return err
		}
		defer func() {
			if err == nil {
				err = a.exec(ctx, "COMMIT")
			}
			if err != nil {
				_ = a.exec(ctx, "ROLLBACK") // fails if SQLite has rolled back by itself
			}
		}()
	}
	if refs > 0 {
		if err := a.insertRefs(ctx, calls, refs, now); err != nil {
			return err
		}
	}
	return a.insertMessages(ctx, calls, messages)
}

// insertMessages writes the messages of the calls that have not failed.
func (a *appender) insertMessages(ctx context.Context, calls []*call, messages int) error {
	plain := allPlain(calls)
	insert := &a.messages
	if plain {
		insert = &a.plain
	}
	rows := a.rows(insert, messages)
	return a.each(calls, func(_, place int64, d *rooms.Draft) error {
		m := d.Message
		args := rows.next()
		args[0].Value = place
		args[1].Value = m.ClientID
		args[2].Value = m.Text
		args[3].Value = m.CreatedAt.UnixMilli()
		args[4].Value = rows.parentArg(m.Trace.Parent)
		if !plain {
			args[5].Value = int64(0)
			if m.IsReply {
				args[5].Value = int64(1)
			}
			args[6].Value = nil
			if m.ParentID != "" {
				parent, err := packID(m.ParentID)
				if err != nil {
					return err
				}
				args[6].Value = parent[:]
			}
			args[7].Value = m.UpdatedAt.UnixMilli()
			args[8].Value = m.Trace.State
		}
		return rows.end(ctx)
	})
}

// each calls f with the new drafts of the calls that have not failed, in their order, and with the number of the room and the place
// that each gets, until f returns an error.
func (a *appender) each(calls []*call, f func(room, place int64, d *rooms.Draft) error) error {
	for _, c := range calls {
		if c.err != nil {
			continue
		}
		room := a.rooms[c.roomID]
		place := room.base + room.last
		for i := range c.drafts {
			d := &c.drafts[i]
			if d.Repeated {
				continue
			}
			place++
			if err := f(room.base>>seqBits, place, d); err != nil {
				return err
			}
		}
	}
	return nil
}
