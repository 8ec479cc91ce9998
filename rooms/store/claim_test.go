package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/traceroom/traceroom/rooms/store/pgtest"
)

func TestAClaimGoesOnlyWithThoseThatShare(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server.Database(t))
	defer func() { require.NoError(t, s.Close()) }()
	claim := func(shared bool) (*Claim, error) { return OpenClaim(t.Context(), s, ClaimOptions{Shared: shared}) }
	alone, err := claim(false)
	require.NoError(t, err)
	for _, shared := range []bool{false, true} {
		_, err = claim(shared)
		require.ErrorIs(t, err, ErrClaimed)
	}
	elsewhere := open(t, server.Database(t))
	defer func() { require.NoError(t, elsewhere.Close()) }()
	other, err := OpenClaim(t.Context(), elsewhere, ClaimOptions{})
	require.NoError(t, err, "of another database")
	other.Close()
	alone.Close()

	one, err := claim(true)
	require.NoError(t, err)
	two, err := claim(true)
	require.NoError(t, err)
	_, err = claim(false)
	require.ErrorIs(t, err, ErrClaimed)
	one.Close()
	_, err = claim(false)
	require.ErrorIs(t, err, ErrClaimed)

	// A process that may wait gets the claim when the last of the others has ended.
	waits := make(chan struct{})
	go func() {
		<-waits
		two.Close()
	}()
	late, err := OpenClaim(t.Context(), s, ClaimOptions{Wait: waitFor, Waiting: func() { close(waits) }})
	require.NoError(t, err)
	late.Close()

	inMemory := open(t, "sqlite://:memory:")
	defer func() { require.NoError(t, inMemory.Close()) }()
	_, err = OpenClaim(t.Context(), inMemory, ClaimOptions{})
	require.Error(t, err)
}

// A lost connection does not end a claim. If another process comes first, that is reported, and the claim is renewed when the other ends.
func TestAClaimIsRenewed(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server.Database(t)).(*postgresStore)
	defer func() { require.NoError(t, s.Close()) }()
	lost, regained := make(chan error, 10), make(chan struct{}, 10)
	c, err := OpenClaim(t.Context(), s, ClaimOptions{
		Every: 20 * time.Millisecond, Lost: func(err error) { lost <- err }, Regained: func() { regained <- struct{}{} },
	})
	require.NoError(t, err)
	defer c.Close()
	locks := func(granted bool) (pid int) {
		_ = s.pool.QueryRow(t.Context(), `SELECT coalesce(max(pid), 0) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
			WHERE locktype = 'advisory' AND datname = current_database() AND granted = $1`, granted).Scan(&pid)
		return pid
	}
	hangUp := func() (pid int) {
		pid = locks(true)
		require.NotZero(t, pid)
		_, err := s.pool.Exec(t.Context(), `SELECT pg_terminate_backend($1)`, pid)
		require.NoError(t, err)
		return pid
	}
	before := hangUp()
	require.Eventually(t, func() bool { now := locks(true); return now != 0 && now != before }, waitFor, tick)
	_, err = OpenClaim(t.Context(), s, ClaimOptions{Shared: true})
	require.ErrorIs(t, err, ErrClaimed)

	// A process that waits for the lock gets it as soon as the connection that has it ends.
	rival, err := s.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer rival.Release()
	has := make(chan error, 1)
	go func() {
		_, err := rival.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, claimNumber)
		has <- err
	}()
	require.Eventually(t, func() bool { return locks(false) != 0 }, waitFor, tick)
	hangUp()
	require.NoError(t, <-has)
	require.ErrorIs(t, <-lost, ErrClaimed)
	_, err = rival.Exec(t.Context(), `SELECT pg_advisory_unlock($1)`, claimNumber)
	require.NoError(t, err)
	<-regained
	require.Empty(t, lost, "it is told once")
}
