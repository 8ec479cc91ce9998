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
	// A message's arguments, and those of a plain one: to bind one costs more than what SQLite does with it.
	messageArgs = 9
	plainArgs   = 5
	// maxRows is how many messages one statement takes.
	maxRows = 64
	// maxCachedRooms bounds what is remembered of rooms, some 100 bytes each, before a transaction adds its own.
	maxCachedRooms = 1 << 16
)

// appender is what the writer's connection has to append with: statements prepared on the driver's connection, which
// spares database/sql's part of the costs, and what is known of the rooms. Its one process owns the sequence numbers,
// so that they need not be read again for every append. Whoever has the writer's connection may use it.
type appender struct {
	conn    any                               // the driver's connection that the statements belong to
	inserts inserts                           // for any messages
	plain   inserts                           // for plain ones
	control map[string]driver.StmtExecContext // BEGIN and the like
	args    [maxRows * messageArgs]driver.NamedValue
	packed  [maxRows]packed

	rooms     map[string]*roomPlace
	mostRooms int // when rooms is emptied: before a transaction, which needs what it has looked up
}

// packed is the traceparent of a row in less bytes than it came in, with the argument that these bytes are.
type packed struct {
	parent    [parentSize]byte
	parentArg driver.Value
}

// inserts are statements by how many rows they take, prepared when first needed.
type inserts [maxRows + 1]driver.StmtExecContext

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
	if err == nil || len(calls) == 1 || sqliteCode(err)&0xff != codes.SQLITE_CONSTRAINT && !errors.Is(err, errNoID) {
		return
	}
	// One of the calls brings what cannot be stored, such as a parent that is no message's id. The others shall not suffer.
	for i := range calls {
		_ = s.commitOn(ctx, conn, calls[i:i+1]) // is in the call
	}
}

// commitOn stores the calls' drafts in one transaction, all or none but those for rooms that do not exist, and sets
// the calls' errors. It returns the transaction's.
func (s *sqliteStore) commitOn(ctx context.Context, conn *sql.Conn, calls []*call) error {
	a := &s.appender
	if len(a.rooms) >= a.mostRooms {
		clear(a.rooms)
	}
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
		a.use(dc)
		return a.insert(ctx, calls, messages)
	})
	for _, c := range calls {
		switch {
		case c.err != nil:
		case err != nil:
			c.err = fmt.Errorf("store: append: %w", err)
			delete(a.rooms, c.roomID) // it may be what was wrong
		default:
			room := a.rooms[c.roomID]
			for _, d := range c.drafts {
				room.last++
				m := d.Message
				m.Generation, m.Seq, m.ID = room.base>>seqBits, room.last, idOf(m.CreatedAt.UnixMilli(), room.base+room.last)
			}
		}
	}
	if err == nil {
		s.checkpointer.wake()
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
	room := &roomPlace{base: number << seqBits, last: last & maxSeq}
	a.rooms[id] = room
	return room, nil
}

// insert writes the drafts of the calls that have not failed, messages in all. A single statement is a transaction of
// its own, and the cheapest: inside of another, SQLite keeps a journal for each statement.
func (a *appender) insert(ctx context.Context, calls []*call, messages int) (err error) {
	if messages > maxRows {
		if err := a.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
			return err
		}
		defer func() {
			if err == nil {
				err = a.exec(ctx, "COMMIT")
			}
			if err != nil {
				_ = a.exec(ctx, "ROLLBACK") // fails where SQLite has rolled back by itself
			}
		}()
	}
	rows := 0
	plain := allPlain(calls)
	for _, c := range calls {
		if c.err != nil {
			continue
		}
		room := a.rooms[c.roomID]
		for i, d := range c.drafts {
			if err := a.bind(rows, plain, room.base+room.last+int64(i)+1, d.Message); err != nil {
				return err
			}
			if rows++; rows < min(messages, maxRows) {
				continue
			}
			if err := a.flush(ctx, rows, plain); err != nil {
				return err
			}
			messages -= rows
			rows = 0
		}
	}
	return nil
}

// allPlain reports whether all messages are plain: no reply, not changed, and of a trace without state.
func allPlain(calls []*call) bool {
	for _, c := range calls {
		for _, d := range c.drafts {
			if m := d.Message; m.IsReply || m.ParentID != "" || m.Trace.State != "" || !m.UpdatedAt.Equal(m.CreatedAt) {
				return false
			}
		}
	}
	return true
}

// flush writes the rows that are bound.
func (a *appender) flush(ctx context.Context, rows int, plain bool) error {
	list, row, n := &a.inserts, "(?,?,?,?,?,?,?,?,?)", messageArgs
	if plain {
		list, row, n = &a.plain, "(?,?,?,?,?,0,NULL,0,'')", plainArgs
	}
	args := a.args[:rows*n]
	defer func() {
		for i := range args {
			args[i].Value = nil
		}
	}()
	if list[rows] == nil {
		var err error
		if list[rows], err = a.prepare(ctx, insertSQL(row, rows)); err != nil {
			return err
		}
	}
	_, err := list[rows].ExecContext(ctx, args)
	return err
}

// bind sets the arguments of a statement's row.
func (a *appender) bind(row int, plain bool, place int64, m *rooms.Message) error {
	n := messageArgs
	if plain {
		n = plainArgs
	}
	args := a.args[row*n : (row+1)*n]
	p := &a.packed[row]
	args[0].Value = place
	args[1].Value = m.ClientID
	args[2].Value = m.Text
	args[3].Value = m.CreatedAt.UnixMilli()
	if packParent(&p.parent, m.Trace.Parent) {
		args[4].Value = p.parentArg
	} else {
		args[4].Value = []byte(m.Trace.Parent)
	}
	if plain {
		return nil
	}
	args[5].Value = int64(0)
	if m.IsReply {
		args[5].Value = int64(1)
	}
	if m.ParentID != "" {
		parent, err := packID(m.ParentID)
		if err != nil {
			return err
		}
		args[6].Value = parent[:]
	}
	args[7].Value = m.UpdatedAt.UnixMilli()
	args[8].Value = m.Trace.State
	return nil
}

// use makes dc the driver's connection. Statements of another are of no more use.
func (a *appender) use(dc any) {
	if a.conn == dc {
		return
	}
	a.close()
	a.conn = dc
	for i := range a.args {
		a.args[i].Ordinal = i + 1
	}
	for i := range a.packed {
		p := &a.packed[i]
		p.parentArg = p.parent[:]
	}
}

func (a *appender) prepare(ctx context.Context, query string) (driver.StmtExecContext, error) {
	stmt, err := a.conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.(driver.StmtExecContext), nil
}

func (a *appender) exec(ctx context.Context, query string) error {
	stmt := a.control[query]
	if stmt == nil {
		var err error
		if stmt, err = a.prepare(ctx, query); err != nil {
			return err
		}
		a.control[query] = stmt
	}
	_, err := stmt.ExecContext(ctx, nil)
	return err
}

func insertSQL(row string, rows int) string {
	return "INSERT INTO messages (place, client_id, text, created_at, traceparent, is_reply, parent_id, updated_at, tracestate) VALUES " +
		strings.Repeat(row+",", rows-1) + row
}

// close releases the statements; SQLite keeps a connection open that has any.
func (a *appender) close() {
	for _, list := range []*inserts{&a.inserts, &a.plain} {
		for _, stmt := range list {
			if stmt != nil {
				_ = stmt.(driver.Stmt).Close() // repeats the last execution's error, if any
			}
		}
		clear(list[:])
	}
	for _, stmt := range a.control {
		_ = stmt.(driver.Stmt).Close()
	}
	clear(a.control)
	a.conn = nil
}
