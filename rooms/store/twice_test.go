package store

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/store/pgtest"
	"github.com/traceroom/traceroom/rooms/store/storetest"
)

// copyDatabase copies a database that is open, as a crash would leave it, and returns the path of the copy.
func copyDatabase(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "crashed.db")
	for _, suffix := range []string{"", "-wal"} {
		from, err := os.Open(path + suffix)
		require.NoError(t, err)
		f, err := os.Create(to + suffix)
		require.NoError(t, err)
		_, err = io.Copy(f, from)
		require.NoError(t, err)
		require.NoError(t, from.Close())
		require.NoError(t, f.Close())
	}
	return to
}

// TestSQLiteLives checks when a room has another epoch: when its newest messages may have been lost.
func TestSQLiteLives(t *testing.T) {
	openAt := func(path, boot string, full bool) (s rooms.Store, epoch string) {
		if full {
			path += "?synchronous=full"
		}
		s = openWith(t, "sqlite://"+path, Options{bootID: func() string { return boot }})
		_, _, err := s.CreateRoom(t.Context(), rooms.Room{ID: "a"})
		require.NoError(t, err)
		room, err := s.Room(t.Context(), "a")
		require.NoError(t, err)
		return s, room.Epoch
	}
	for name, test := range map[string]struct {
		boot, then         string // before and after it ended
		full, thenFull     bool
		closed, wantsOther bool
	}{
		"closed":                                {boot: "1", then: "2", closed: true},
		"killed":                                {boot: "1", then: "1"},
		"power failure":                         {boot: "1", then: "2", wantsOther: true},
		"power failure, with a disk waited for": {boot: "1", then: "2", full: true, thenFull: true},
		"power failure, then a disk is waited for": {boot: "1", then: "2", thenFull: true, wantsOther: true},
		"power failure, not waited for any more":   {boot: "1", then: "2", full: true},
		"not known which":                          {boot: "", then: "", wantsOther: true},
		"not known, but closed":                    {boot: "", then: "", closed: true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lives.db")
			s, before := openAt(path, test.boot, test.full)
			storetest.Append(t, s, "a", "1")
			if test.closed {
				require.NoError(t, s.Close())
			} else {
				crashed := copyDatabase(t, path)
				require.NoError(t, s.Close())
				path = crashed
			}
			s, after := openAt(path, test.then, test.thenFull)
			if test.wantsOther {
				require.NotEqual(t, before, after)
			} else {
				require.Equal(t, before, after)
			}
			require.NoError(t, s.Close())
			s, again := openAt(path, "3", test.thenFull)
			require.Equal(t, after, again, "it was closed")
			require.NoError(t, s.Close())
		})
	}
}

// TestSQLiteForgetsRefs checks that refs that are too old are removed, and others are not.
func TestSQLiteForgetsRefs(t *testing.T) {
	var c clock
	s := openWith(t, "sqlite://"+filepath.Join(t.TempDir(), "refs.db"), Options{now: c.now}).(*sqliteStore)
	s.forgetter.stop() // the test does this itself
	count := func() (n int) {
		require.NoError(t, s.r.QueryRow(`SELECT count(*) FROM message_refs`).Scan(&n))
		return n
	}
	storetest.CreateRoom(t, s, "a")
	appendRefs(t, s, "a", "old", 2*forgetRows+10)
	c.pass(t, s, rooms.RefAge)
	appendRefs(t, s, "a", "new", forgetRows)
	w := &refWalk{store: s}
	pass := func() (steps int) {
		for more := true; more; steps++ {
			var err error
			more, err = w.step(t.Context())
			require.NoError(t, err)
		}
		return steps
	}
	require.Equal(t, 4, pass())
	require.Equal(t, forgetRows, count())
	require.Len(t, s.forgetter.due, 1, "it will come back for them")
	<-s.forgetter.due
	pass()
	require.Equal(t, forgetRows, count())
	<-s.forgetter.due
	c.pass(t, s, rooms.RefAge)
	pass()
	require.Zero(t, count())
	require.Empty(t, s.forgetter.due)

	appendRefs(t, s, "a", "gone", 2*sweepRows)
	_, err := s.DeleteRoom(t.Context(), "a")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return count() == 0 }, waitFor, tick, "with the room")
	require.NoError(t, s.Close())
}

// appendRefs appends messages that have refs.
func appendRefs(t *testing.T, s rooms.Store, room, prefix string, count int) {
	t.Helper()
	var drafts []rooms.Draft
	for i := range count {
		drafts = append(drafts, rooms.Draft{Message: storetest.NewMessage(room, "x"), Ref: fmt.Sprint(prefix, i)})
	}
	require.NoError(t, s.Append(t.Context(), room, drafts))
}

// TestPostgresForgetsRefs is TestSQLiteForgetsRefs on PostgreSQL; it also checks that nothing is left of a deleted room.
func TestPostgresForgetsRefs(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server.Database(t)).(*postgresStore)
	count := func() (n int) {
		require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT count(*) FROM message_refs`).Scan(&n))
		return n
	}
	storetest.CreateRoom(t, s, "a")
	appendRefs(t, s, "a", "old", 1100)
	_, err := s.pool.Exec(t.Context(), `UPDATE message_refs SET created_at = created_at - $1::interval`, rooms.RefAge)
	require.NoError(t, err)
	appendRefs(t, s, "a", "new", 10)
	more, err := s.forget(t.Context())
	require.NoError(t, err)
	require.True(t, more)
	more, err = s.forget(t.Context())
	require.NoError(t, err)
	require.False(t, more)
	require.Equal(t, 10, count())
	_, err = s.DeleteRoom(t.Context(), "a")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return count() == 0 }, waitFor, tick)
	require.NoError(t, s.Close())
}

// TestPostgresWaitsForTheDisk configures a server to acknowledge before a commit is on the disk.
func TestPostgresWaitsForTheDisk(t *testing.T) {
	server := pgtest.Start(t, "synchronous_commit=off")
	s := open(t, server.Database(t)).(*postgresStore)
	var setting string
	require.NoError(t, s.pool.QueryRow(t.Context(), `SHOW synchronous_commit`).Scan(&setting))
	require.Equal(t, "on", setting)
	require.NoError(t, s.Close())
}

// TestPostgresSettlesWhatIsThere settles a transaction without an answer whose calls were partly committed, and partly repeat what
// another node has stored.
func TestPostgresSettlesWhatIsThere(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database(t)
	s, other := open(t, url).(*postgresStore), open(t, url)
	storetest.CreateRoom(t, s, "a")
	draft := func(ref string) rooms.Draft { return rooms.Draft{Message: storetest.NewMessage("a", ref), Ref: ref} }
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	done := &call{roomID: "a", drafts: []rooms.Draft{draft("1"), {Message: storetest.NewMessage("a", "plain")}}}
	for _, d := range done.drafts {
		d.Message.ID = rooms.NewID()
	}
	require.NoError(t, s.store(ctx, []*call{done}))
	elsewhere := []rooms.Draft{draft("2")}
	require.NoError(t, other.Append(ctx, "a", elsewhere))
	repeated := &call{roomID: "a", drafts: []rooms.Draft{draft("2"), draft("3")}}
	for _, d := range repeated.drafts {
		d.Message.ID = rooms.NewID()
	}
	s.settle(ctx, []*call{done, repeated}, context.DeadlineExceeded)
	require.NoError(t, done.err)
	require.NoError(t, repeated.err)
	require.False(t, done.drafts[0].Repeated)
	require.True(t, repeated.drafts[0].Repeated)
	require.Equal(t, elsewhere[0].Message, repeated.drafts[0].Message)
	require.EqualValues(t, 4, repeated.drafts[1].Message.Seq)
	require.Len(t, storetest.All(t, s, "a"), 4)
	require.NoError(t, s.Close())
	require.NoError(t, other.Close())
}
