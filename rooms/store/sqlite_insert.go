package store

import (
	"context"
	"database/sql/driver"
	"strings"
)

// This file exists for speed alone: database/sql, with a statement for each message, would do the same. Figures are of BenchmarkAppend.

// maxRows is the most rows that one statement inserts. With a statement for each row, an append of 64 messages makes 647 instead of 334
// allocations.
const maxRows = 64

// inserter inserts many rows with each statement. Its statements are prepared on the driver's connection: with database/sql between,
// an append of one message makes 80 instead of 13 allocations. It may be used by one goroutine at a time.
type inserter struct {
	conn     driver.ConnPrepareContext // that the statements belong to; nil: there are none
	messages bulkInsert
	plain    bulkInsert // for messages that are all plain
	refs     bulkInsert
	control  map[string]driver.StmtExecContext // BEGIN and its like
	args     [maxRows * messageArgs]driver.NamedValue
	parents  [maxRows]packedParent
}

// bulkInsert is an INSERT of 1 to maxRows rows. For each number of rows there is a statement, prepared when it is first used.
type bulkInsert struct {
	head, row string // INSERT … VALUES, and the values of one row
	rowArgs   int    // arguments of one row
	prepared  [maxRows + 1]driver.StmtExecContext
}

// packedParent is the memory for a row's traceparent, and the argument that it is. To make them for each row would be two allocations
// a message.
type packedParent struct {
	bytes [parentSize]byte
	arg   driver.Value
}

const (
	sqlInsert   = "INSERT INTO messages (place, client_id, text, created_at, traceparent, is_reply, parent_id, updated_at, tracestate) VALUES "
	messageArgs = 9
)

func newInserter() inserter {
	return inserter{
		messages: bulkInsert{head: sqlInsert, row: "(?,?,?,?,?,?,?,?,?)", rowArgs: messageArgs},
		// To bind an argument costs more than what SQLite does with it.
		plain:   bulkInsert{head: sqlInsert, row: "(?,?,?,?,?,0,NULL,0,'')", rowArgs: 5},
		refs:    bulkInsert{head: sqlInsertRefs, row: "(?,?,?,?,?)", rowArgs: 5},
		control: make(map[string]driver.StmtExecContext),
	}
}

// allPlain reports whether all messages are plain: they answer none, have not been changed, and their traces have no state.
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

// use makes conn the connection. If it is another than before, the statements are prepared anew.
func (w *inserter) use(conn driver.ConnPrepareContext) {
	if w.conn == conn {
		return
	}
	w.close()
	w.conn = conn
	for i := range w.args {
		w.args[i].Ordinal = i + 1
	}
	for i := range w.parents {
		p := &w.parents[i]
		p.arg = p.bytes[:]
	}
}

// bulkRows are the rows of an insert that is under way. For each row, next is called, and end when the arguments are set.
type bulkRows struct {
	w      *inserter
	insert *bulkInsert
	bound  int // rows that wait for the statement to be executed
	left   int // rows that have not been inserted
}

// rows begins an insert of n rows.
func (w *inserter) rows(insert *bulkInsert, n int) bulkRows {
	return bulkRows{w: w, insert: insert, left: n}
}

// next returns the arguments of the next row, which the caller sets.
func (r *bulkRows) next() []driver.NamedValue {
	n := r.insert.rowArgs
	return r.w.args[r.bound*n : (r.bound+1)*n]
}

// parentArg returns a traceparent as an argument of the row.
func (r *bulkRows) parentArg(parent string) driver.Value {
	p := &r.w.parents[r.bound]
	if packParent(&p.bytes, parent) {
		return p.arg
	}
	return []byte(parent)
}

// end ends a row. It executes the statement if that has all its rows.
func (r *bulkRows) end(ctx context.Context) error {
	if r.bound++; r.bound < min(r.left, maxRows) {
		return nil
	}
	rows := r.bound
	r.left -= rows
	r.bound = 0
	return r.w.execRows(ctx, r.insert, rows)
}

// execRows executes an insert of this many rows, whose arguments are set.
func (w *inserter) execRows(ctx context.Context, insert *bulkInsert, rows int) error {
	args := w.args[:rows*insert.rowArgs]
	defer clearValues(args) // keeps no message in memory
	stmt := insert.prepared[rows]
	if stmt == nil {
		var err error
		if stmt, err = w.prepare(ctx, insert.head+strings.Repeat(insert.row+",", rows-1)+insert.row); err != nil {
			return err
		}
		insert.prepared[rows] = stmt
	}
	_, err := stmt.ExecContext(ctx, args)
	return err
}

func clearValues(args []driver.NamedValue) {
	for i := range args {
		args[i].Value = nil
	}
}

func (w *inserter) prepare(ctx context.Context, query string) (driver.StmtExecContext, error) {
	stmt, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.(driver.StmtExecContext), nil
}

// exec executes a statement without arguments, such as BEGIN.
func (w *inserter) exec(ctx context.Context, query string) error {
	stmt := w.control[query]
	if stmt == nil {
		var err error
		if stmt, err = w.prepare(ctx, query); err != nil {
			return err
		}
		w.control[query] = stmt
	}
	_, err := stmt.ExecContext(ctx, nil)
	return err
}

// close releases the statements: SQLite keeps a connection open that has any.
func (w *inserter) close() {
	for _, insert := range []*bulkInsert{&w.messages, &w.plain, &w.refs} {
		for _, stmt := range insert.prepared {
			if stmt != nil {
				_ = stmt.(driver.Stmt).Close() // returns the last execution's error, if there was one
			}
		}
		clear(insert.prepared[:])
	}
	for _, stmt := range w.control {
		_ = stmt.(driver.Stmt).Close()
	}
	clear(w.control)
	w.conn = nil
}
