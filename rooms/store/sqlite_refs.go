package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/traceroom/traceroom/rooms"
	codes "modernc.org/sqlite/lib"
)

const (
	// refArgs is how many arguments a message's ref takes.
	refArgs = 5
	// forgetEvery is how long refs that are too old may stay.
	forgetEvery = rooms.RefAge / 2
	// forgetRows is how many are looked at in one go: less than a millisecond's work.
	forgetRows = 500
)

// errSent: the room has a message under one of the refs.
var errSent = errors.New("store: a ref is taken")

// forgotten is when a ref must have come that is not remembered any more.
func (s *sqliteStore) forgotten() int64 { return s.opts.now().Add(-rooms.RefAge).UnixMilli() }

// insertRefs writes the refs of the drafts of the calls that have not failed. It fails with errSent.
func (a *appender) insertRefs(ctx context.Context, calls []*call, refs int, now time.Time) error {
	rows := 0
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
			if d.Ref == "" {
				continue
			}
			args := a.args[rows*refArgs : (rows+1)*refArgs]
			args[0].Value = room.base >> seqBits
			args[1].Value = d.Message.ClientID
			args[2].Value = d.Ref
			args[3].Value = place
			args[4].Value = now.UnixMilli()
			if rows++; rows < min(refs, maxRows) {
				continue
			}
			if err := a.execRows(ctx, &a.refs, sqlInsertRefs, "(?,?,?,?,?)", rows, refArgs); err != nil {
				if sqliteCode(err)&0xff == codes.SQLITE_CONSTRAINT {
					return errSent
				}
				return err
			}
			refs -= rows
			rows = 0
		}
	}
	return nil
}

const (
	sqlInsertRefs = `INSERT INTO message_refs (room, client_id, ref, place, created_at) VALUES `
	// The keys are [room's id, client, ref].
	sqlSought = `json_each(?) AS k JOIN rooms r ON r.id = k.value->>0`
	sqlForget = `DELETE FROM message_refs WHERE created_at <= ? AND (room, client_id, ref) IN
		(SELECT r.number, k.value->>1, k.value->>2 FROM ` + sqlSought + `)`
	sqlRepeats = sqlColumns + `, f.ref FROM ` + sqlSought + `
		CROSS JOIN message_refs f ON f.room = r.number AND f.client_id = k.value->>1 AND f.ref = k.value->>2
		CROSS JOIN messages m ON m.place = f.place`
	sqlSent = sqlMessage + `rooms r CROSS JOIN message_refs f ON f.room = r.number CROSS JOIN messages m ON m.place = f.place
		WHERE r.id = ? AND f.client_id = ? AND f.ref = ? AND f.created_at > ?`
)

// repeats finds those among the calls' drafts that are repetitions, and forgets refs of theirs that are too old. It
// returns how many drafts are left.
func (s *sqliteStore) repeats(ctx context.Context, conn *sql.Conn, calls []*call) (left int, err error) {
	var sought [][3]string
	for _, k := range refKeys(calls) {
		sought = append(sought, [3]string{k.room, k.client, k.ref})
	}
	keys, err := json.Marshal(sought)
	if err != nil {
		return 0, err
	}
	if _, err := conn.ExecContext(ctx, sqlForget, s.forgotten(), string(keys)); err != nil {
		return 0, err
	}
	rows, err := conn.QueryContext(ctx, sqlRepeats, string(keys))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	known := make(map[refKey]*rooms.Message)
	for rows.Next() {
		var ref string
		m, err := scanSQLiteMore(rows, &ref)
		if err != nil {
			return 0, err
		}
		known[refKey{m.RoomID, m.ClientID, ref}] = m
	}
	return findRepeats(calls, known), rows.Err()
}

// walk goes through the refs for what is too old, again and again as long as there are any. It belongs to its background's
// goroutine.
type walk struct {
	store         *sqliteStore
	room          int64 // the key that it has come to
	clientID, ref string
}

// forget removes what is too old among the next refs, and reports whether there are more.
func (w *walk) forget(ctx context.Context) (more bool, err error) {
	const after = `(room, client_id, ref) > (?, ?, ?)`
	next := walk{store: w.store}
	left := false
	err = w.store.writeTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		from := []any{w.room, w.clientID, w.ref}
		err := tx.QueryRowContext(ctx, `SELECT room, client_id, ref FROM message_refs WHERE `+after+`
			ORDER BY room, client_id, ref LIMIT 1 OFFSET ?`, append(from, forgetRows-1)...).Scan(&next.room, &next.clientID, &next.ref)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			if _, err := tx.ExecContext(ctx, `DELETE FROM message_refs WHERE `+after+` AND created_at <= ?`,
				append(from, w.store.forgotten())...); err != nil {
				return err
			}
			return tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM message_refs)`).Scan(&left)
		case err != nil:
			return err
		}
		more = true
		_, err = tx.ExecContext(ctx, `DELETE FROM message_refs WHERE `+after+` AND (room, client_id, ref) <= (?, ?, ?) AND created_at <= ?`,
			append(from, next.room, next.clientID, next.ref, w.store.forgotten())...)
		return err
	})
	if err != nil {
		return false, err
	}
	*w = next
	if left {
		w.store.forgetter.wake()
	}
	return more, nil
}
