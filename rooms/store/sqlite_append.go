package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/traceroom/traceroom/rooms"
	codes "modernc.org/sqlite/lib"
)

// A message's place: the room's number, then seqBits of its sequence number.
const (
	seqBits = 36
	maxSeq  = 1<<seqBits - 1
)

const (
	messageColumns = 10
	// Any number of rows up to smallInsert goes in by one statement; beyond, statements of largeInsert rows do most.
	smallInsert = 16
	largeInsert = 64
	// maxCachedRooms bounds what is remembered of rooms: some 100 bytes each.
	maxCachedRooms = 1 << 16
)

// appender is what the writer's connection has to append with: statements prepared on the driver's connection, which
// spares database/sql's part of the costs, and what is known of the rooms. Its one process owns the sequence numbers,
// so that they need not be read again for every append. Whoever has the writer's connection may use it.
type appender struct {
	conn                    any // the driver's connection that the statements belong to
	begin, commit, rollback driver.StmtExecContext
	inserts                 [smallInsert + 1]driver.StmtExecContext // by rows; [0] holds largeInsert
	args                    [largeInsert * messageColumns]driver.NamedValue

	rooms map[string]*roomPlace
}

// roomPlace is where a room's messages are: its sequence numbers follow on base, and last is the newest.
type roomPlace struct {
	base, last int64
}

// Append implements rooms.Store.
func (s *sqliteStore) Append(ctx context.Context, roomID string, drafts []rooms.Draft) error {
	return s.group.append(ctx, roomID, drafts)
}

// commit stores the calls' drafts in one transaction.
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
	if err == nil || len(calls) == 1 || sqliteCode(err)&0xff != codes.SQLITE_CONSTRAINT {
		return
	}
	// One of the calls brings what cannot be stored, such as an id that was stored before. The others shall not suffer.
	for i := range calls {
		_ = s.commitOn(ctx, conn, calls[i:i+1]) // is in the call
	}
}

// commitOn stores the calls' drafts in one transaction, all or none but those for rooms that do not exist, and sets
// the calls' errors. It returns the transaction's.
func (s *sqliteStore) commitOn(ctx context.Context, conn *sql.Conn, calls []*call) error {
	a := &s.appender
	messages := 0
	for _, c := range calls {
		var room *roomPlace
		if room, c.err = a.room(ctx, conn, c.roomID); c.err != nil {
			continue
		}
		if room.last+int64(len(c.drafts)) > maxSeq {
			c.err = fmt.Errorf("store: append: room %s is full", c.roomID)
			continue
		}
		messages += len(c.drafts)
	}
	if messages == 0 {
		return nil
	}
	err := conn.Raw(func(dc any) error {
		if err := a.use(ctx, dc); err != nil {
			return err
		}
		return a.insert(ctx, calls, messages)
	})
	for _, c := range calls {
		switch {
		case c.err != nil:
		case err != nil:
			c.err = fmt.Errorf("store: append: %w", err)
			delete(a.rooms, c.roomID)
		default:
			room := a.rooms[c.roomID]
			for _, d := range c.drafts {
				room.last++
				d.Message.Seq = room.last
			}
		}
	}
	if err == nil {
		s.opts.BatchCommitted(messages)
	}
	return err
}

const sqlRoomPlace = `
SELECT number, coalesce((SELECT place FROM messages WHERE place > number << 36 AND place < (number + 1) << 36
                         ORDER BY place DESC LIMIT 1), number << 36)
FROM rooms WHERE id = ?`

// room is what is known of the room, read if need be.
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
	if len(a.rooms) >= maxCachedRooms {
		clear(a.rooms)
	}
	room := &roomPlace{base: number << seqBits, last: last & maxSeq}
	a.rooms[id] = room
	return room, nil
}

// insert writes the drafts of the calls that have not failed, messages in all. A single statement is a transaction of
// its own.
func (a *appender) insert(ctx context.Context, calls []*call, messages int) (err error) {
	single := messages <= smallInsert || messages == largeInsert
	if !single {
		if _, err := a.begin.ExecContext(ctx, nil); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				_, rerr := a.rollback.ExecContext(ctx, nil)
				if sqliteCode(rerr)&0xff == codes.SQLITE_ERROR {
					rerr = nil // SQLite has rolled back already
				}
				err = errors.Join(err, rerr)
			}
		}()
	}
	size := a.statement(messages)
	arg := 0
	for _, c := range calls {
		if c.err != nil {
			continue
		}
		room := a.rooms[c.roomID]
		for i, d := range c.drafts {
			a.bind(arg, room.base+room.last+int64(i)+1, d.Message)
			arg += messageColumns
			if arg < size*messageColumns {
				continue
			}
			_, err := a.inserts[size%largeInsert].ExecContext(ctx, a.args[:arg])
			for i := range a.args[:arg] {
				a.args[i].Value = nil
			}
			if err != nil {
				return err
			}
			messages -= size
			size, arg = a.statement(messages), 0
		}
	}
	if !single {
		_, err = a.commit.ExecContext(ctx, nil)
	}
	return err
}

// statement is how many rows the next statement takes when so many are left.
func (a *appender) statement(left int) int {
	switch {
	case left >= largeInsert:
		return largeInsert
	default:
		return min(left, smallInsert)
	}
}

func (a *appender) bind(at int, place int64, m *rooms.Message) {
	args := a.args[at : at+messageColumns]
	args[0].Value = place
	args[1].Value = m.ID
	args[2].Value = m.ClientID
	args[3].Value = m.Text
	args[4].Value = int64(0)
	if m.IsReply {
		args[4].Value = int64(1)
	}
	if m.ParentID != "" {
		args[5].Value = m.ParentID
	}
	args[6].Value = m.CreatedAt.UnixMilli()
	args[7].Value = args[6].Value
	if !m.UpdatedAt.Equal(m.CreatedAt) {
		args[7].Value = m.UpdatedAt.UnixMilli()
	}
	args[8].Value = m.Trace.Parent
	args[9].Value = m.Trace.State
}

// use prepares the statements on the driver's connection, unless they are.
func (a *appender) use(ctx context.Context, dc any) error {
	if a.conn == dc {
		return nil
	}
	a.close()
	conn := dc.(driver.ConnPrepareContext)
	prepare := func(query string) (driver.StmtExecContext, error) {
		stmt, err := conn.PrepareContext(ctx, query)
		if err != nil {
			return nil, err
		}
		return stmt.(driver.StmtExecContext), nil
	}
	var err error
	for i := range a.inserts {
		rows := i
		if i == 0 {
			rows = largeInsert
		}
		if a.inserts[i], err = prepare(insertSQL(rows)); err != nil {
			return err
		}
	}
	if a.begin, err = prepare("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if a.commit, err = prepare("COMMIT"); err != nil {
		return err
	}
	if a.rollback, err = prepare("ROLLBACK"); err != nil {
		return err
	}
	for i := range a.args {
		a.args[i].Ordinal = i%(largeInsert*messageColumns) + 1
	}
	a.conn = dc
	return nil
}

func insertSQL(rows int) string {
	row := "(" + strings.Repeat("?,", messageColumns-1) + "?)"
	return "INSERT INTO messages (place, id, client_id, text, is_reply, parent_id, created_at, updated_at, traceparent, tracestate) VALUES " +
		strings.Repeat(row+",", rows-1) + row
}

// close releases the statements; SQLite keeps a connection open that has any.
func (a *appender) close() {
	for _, stmt := range append(a.inserts[:], a.begin, a.commit, a.rollback) {
		if stmt != nil {
			_ = stmt.(driver.Stmt).Close() // repeats the last execution's error, if any
		}
	}
	clear(a.inserts[:])
	a.conn, a.begin, a.commit, a.rollback = nil, nil, nil, nil
}
