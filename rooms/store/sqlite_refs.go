package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"time"

	"github.com/traceroom/traceroom/rooms"
	codes "modernc.org/sqlite/lib"
)

const (
	// forgetEvery is how often the refs that are too old are removed.
	forgetEvery = rooms.RefAge / 2
	// forgetRows is how many refs are looked at in one transaction, which takes less than a millisecond.
	forgetRows = 500
)

// errRefTaken: the room has a message of the client under one of the refs.
var errRefTaken = errors.New("store: a ref is taken")

// forgotten returns the Unix milliseconds of the newest ref that is too old to be remembered.
func (s *sqliteStore) forgotten() int64 { return s.opts.now().Add(-rooms.RefAge).UnixMilli() }

// insertRefs writes the refs of the drafts of the calls that have not failed: refs in all. It fails with errRefTaken.
func (a *appender) insertRefs(ctx context.Context, calls []*call, refs int, now time.Time) error {
	var created driver.Value = now.UnixMilli()
	rows := a.rows(&a.refs, refs)
	return a.each(calls, func(room, place int64, d *rooms.Draft) error {
		if d.Ref == "" {
			return nil
		}
		args := rows.next()
		args[0].Value = room
		args[1].Value = d.Message.ClientID
		args[2].Value = d.Ref
		args[3].Value = place
		args[4].Value = created
		if err := rows.end(ctx); err != nil {
			if sqliteCode(err)&0xff == codes.SQLITE_CONSTRAINT {
				return errRefTaken
			}
			return err
		}
		return nil
	})
}

const (
	sqlInsertRefs = `INSERT INTO message_refs (room, client_id, ref, place, created_at) VALUES `
	// The parameter is a JSON list of keys [room's id, client, ref].
	sqlKeys   = `json_each(?) AS k JOIN rooms r ON r.id = k.value->>0`
	sqlForget = `DELETE FROM message_refs WHERE created_at <= ? AND (room, client_id, ref) IN
		(SELECT r.number, k.value->>1, k.value->>2 FROM ` + sqlKeys + `)`
	sqlRepeats = sqlColumns + `, f.ref FROM ` + sqlKeys + `
		CROSS JOIN message_refs f ON f.room = r.number AND f.client_id = k.value->>1 AND f.ref = k.value->>2
		CROSS JOIN messages m ON m.place = f.place`
	sqlSent = sqlMessage + `rooms r CROSS JOIN message_refs f ON f.room = r.number CROSS JOIN messages m ON m.place = f.place
		WHERE r.id = ? AND f.client_id = ? AND f.ref = ? AND f.created_at > ?`
)

// findRepeats marks the drafts of the calls that are repetitions, and removes refs of the others that are too old. It returns how
// many drafts are still to be stored.
func (s *sqliteStore) findRepeats(ctx context.Context, conn *sql.Conn, calls []*call) (left int, err error) {
	var list [][3]string
	for _, k := range refKeys(calls) {
		list = append(list, [3]string{k.room, k.client, k.ref})
	}
	keys, err := json.Marshal(list)
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
	return markRepeats(calls, known), rows.Err()
}

// refWalk goes through all refs in the order of their keys and removes those that are too old, forgetRows in each step. At the end it
// begins anew. It belongs to the goroutine of forgetter.
type refWalk struct {
	store         *sqliteStore
	room          int64 // the key up to which it has come
	clientID, ref string
}

// step looks at the next refs, and reports whether there are more behind them.
func (w *refWalk) step(ctx context.Context) (more bool, err error) {
	const after = `(room, client_id, ref) > (?, ?, ?)`
	next := refWalk{store: w.store}
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
