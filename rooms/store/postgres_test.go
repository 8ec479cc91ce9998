package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/store/pgtest"
	"github.com/traceroom/traceroom/rooms/store/storetest"
)

func TestPostgres(t *testing.T) {
	server := pgtest.Start(t)
	storetest.Suite{
		New: func(t *testing.T) func() rooms.Store {
			url := server.Database(t)
			return func() rooms.Store { return open(t, url) }
		},
		Persistent: true,
		Shared:     true,
		Later: func(t *testing.T, s rooms.Store, d time.Duration) {
			_, err := s.(*postgresStore).pool.Exec(t.Context(), `UPDATE message_refs SET created_at = created_at - $1::interval`, d)
			require.NoError(t, err)
		},
		Spoil: func(m *rooms.Message) { m.Text = "\x00" },
	}.Run(t)
}

// TestPostgresSweep checks that the messages of a deleted room are removed.
func TestPostgresSweep(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server.Database(t)).(*postgresStore)
	storetest.CreateRoom(t, s, "a")
	storetest.CreateRoom(t, s, "b")
	for range 25 {
		storetest.Append(t, s, "a", strings.Split(strings.Repeat("x", 100), "")...)
	}
	storetest.Append(t, s, "b", "kept")
	_, err := s.DeleteRoom(t.Context(), "a")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		var messages, rooms int
		require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM deleted_rooms)`).Scan(&messages, &rooms))
		return messages == 1 && rooms == 0
	}, waitFor, tick)
	require.NoError(t, s.Close())
}

// TestPostgresReadsAlongTheKey reads a little of a room that is far larger than the others. PostgreSQL, which knows the average size
// of rooms, would read all of it.
func TestPostgresReadsAlongTheKey(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server.Database(t)).(*postgresStore)
	for r := range 100 {
		id := fmt.Sprint("room", r)
		storetest.CreateRoom(t, s, id)
		storetest.Append(t, s, id, "x")
	}
	for range 20 {
		storetest.Append(t, s, "room0", strings.Split(strings.Repeat("x", 1000), "")...)
	}
	for _, query := range []string{pgMessages + pgPart, pgMessages + pgNewest + pgPart} {
		query = strings.NewReplacer("$1", "'room0'", "$2", "100", "$3", "257", "$4", "65536", "$5", "1000").Replace(query)
		rows, err := s.pool.Query(t.Context(), `EXPLAIN `+query)
		require.NoError(t, err)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.NotContains(t, strings.Join(plan, "\n"), "Sort")
	}
	require.NoError(t, s.Close())
}

// TestPostgresBadText appends a text that only PostgreSQL cannot store.
func TestPostgresBadText(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server.Database(t)).(*postgresStore)
	var calls []*call
	for _, id := range []string{"a", "bad", "c"} {
		storetest.CreateRoom(t, s, id)
		text := strings.ReplaceAll(id, "bad", "\x00")
		calls = append(calls, &call{roomID: id, drafts: []rooms.Draft{{Message: storetest.NewMessage(id, text)}}})
	}
	s.commit(t.Context(), calls)
	require.NoError(t, calls[0].err)
	require.Error(t, calls[1].err)
	require.NoError(t, calls[2].err)
	require.Len(t, storetest.All(t, s, "a"), 1)
	require.Len(t, storetest.All(t, s, "c"), 1)
	require.NoError(t, s.Close())
}

// tracer notes the calls that it gets, by a value of their context.
type tracer struct {
	mu   sync.Mutex
	seen map[any][]string
}

type tracerKey struct{}

func (tr *tracer) note(ctx context.Context, sql string) context.Context {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	who := ctx.Value(tracerKey{})
	tr.seen[who] = append(tr.seen[who], sql)
	return ctx
}

func (tr *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return tr.note(ctx, data.SQL)
}

func (tr *tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestPostgresTracer checks that a tracer is called with the context of a caller of Append.
func TestPostgresTracer(t *testing.T) {
	server := pgtest.Start(t)
	tr := &tracer{seen: make(map[any][]string)}
	s, err := Open(t.Context(), server.Database(t), Options{Tracer: tr})
	require.NoError(t, err)
	storetest.CreateRoom(t, s, "a")
	ctx := context.WithValue(t.Context(), tracerKey{}, "append")
	require.NoError(t, s.Append(ctx, "a", []rooms.Draft{{Message: storetest.NewMessage("a", "x")}}))
	require.NoError(t, s.Close())
	require.Equal(t, []string{sqlAppend}, tr.seen["append"])
}

// TestPostgresCloseWhileItIsSilent closes a store whose PostgreSQL has stopped answering during an append.
func TestPostgresCloseWhileItIsSilent(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database(t)
	failed := make(chan error, 10)
	s, err := Open(t.Context(), url, Options{Failed: func(err error) { failed <- err }})
	require.NoError(t, err)
	storetest.CreateRoom(t, s, "a")
	storetest.Append(t, s, "a", "stored")
	server.Pause()
	appended := make(chan error, 1)
	go func() {
		appended <- s.Append(context.Background(), "a", []rooms.Draft{{Ctx: context.Background(), Message: &rooms.Message{RoomID: "a", ClientID: "c", Text: "in doubt"}}})
	}()
	permits := s.(*postgresStore).group.permits
	require.Eventually(t, func() bool { return len(permits) == cap(permits)-1 }, waitFor, tick)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		require.NoError(t, err)
	case <-time.After(waitFor): // the driver would wait 15 s for an answer
		t.Fatal("Close waits for PostgreSQL")
	}
	require.ErrorIs(t, <-appended, rooms.ErrUnavailable)
	for err := range failed { // background work fails as well
		if strings.Contains(err.Error(), "does not answer") {
			return
		}
	}
}
