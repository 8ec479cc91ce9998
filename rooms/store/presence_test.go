package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/store/pgtest"
	"github.com/traceroom/traceroom/rooms/store/storetest"
)

func TestPostgresPresence(t *testing.T) {
	server := pgtest.Start(t)
	const lease, renew = 4 * time.Second, 100 * time.Millisecond // a busy machine may stand still for a while
	storetest.PresenceSuite{
		New: func(t *testing.T) (rooms.Store, func() storetest.Node) {
			url := server.Database(t)
			var nodes []*Presence
			return open(t, url), func() storetest.Node {
				s := open(t, url)
				p, err := OpenPresence(t.Context(), s, PresenceOptions{Node: t.Name(), Lease: lease, Renew: renew})
				require.NoError(t, err)
				nodes = append(nodes, p)
				return storetest.Node{
					Presence: p,
					Die: func() {
						p.once.Do(func() { close(p.stop) })
						p.done.Wait()
						require.NoError(t, s.Close())
					},
					Stall: func() {
						// If it renews its lease in between, it was not dead yet.
						for number, gone := p.number, false; !gone; {
							ctx := context.Background()
							_, err := p.pool.Exec(ctx, `UPDATE nodes SET expires_at = '-infinity' WHERE number = $1`, number)
							require.NoError(t, err)
							other := nodes[len(nodes)-1]
							require.NoError(t, other.reap(ctx, other.number))
							require.NoError(t, p.pool.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM nodes WHERE number = $1)`, number).Scan(&gone))
						}
					},
					Close: func() {
						require.NoError(t, p.Close(context.Background()))
						require.NoError(t, s.Close())
					},
				}
			}
		},
	}.Run(t)
}

// TestPresenceIsMadeGood has rows appear and disappear without the node, as a crash of PostgreSQL could cause.
func TestPresenceIsMadeGood(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server.Database(t)).(*postgresStore)
	defer func() { require.NoError(t, s.Close()) }()
	storetest.CreateRoom(t, s, "a")
	room, err := s.Room(t.Context(), "a")
	require.NoError(t, err)
	p, err := OpenPresence(t.Context(), s, PresenceOptions{Renew: 50 * time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close(context.Background())) }()
	p.Watch(func(rooms.Change) {})
	for i := range 5 {
		p.Enter(t.Context(), rooms.Participant{RoomID: "a", Generation: room.Generation, ClientID: fmt.Sprint(i)})
	}
	clients := func() (list []string) {
		rows, err := s.pool.Query(t.Context(), `SELECT client_id FROM participants ORDER BY client_id`)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var id string
			require.NoError(t, rows.Scan(&id))
			list = append(list, id)
		}
		return list
	}
	want := []string{"0", "1", "2", "3", "4"}
	require.Eventually(t, func() bool { return slices.Equal(want, clients()) }, waitFor, tick)
	_, err = s.pool.Exec(t.Context(), `UPDATE participants SET client_id = 'ghost' WHERE client_id = '2'`)
	require.NoError(t, err)
	_, err = s.pool.Exec(t.Context(), `DELETE FROM participants WHERE client_id = '4'`)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return slices.Equal(want, clients()) }, waitFor, tick)
}

// TestPresenceForgetsWhoLeftARoomThatWasGone has a client enter a room that is deleted, and leave before the node has heard of the
// deletion: the node hears nothing of a room that nobody is in.
func TestPresenceForgetsWhoLeftARoomThatWasGone(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, server.Database(t)).(*postgresStore)
	defer func() { require.NoError(t, s.Close()) }()
	storetest.CreateRoom(t, s, "a")
	room, err := s.Room(t.Context(), "a")
	require.NoError(t, err)
	_, err = s.DeleteRoom(t.Context(), "a")
	require.NoError(t, err)
	p, err := OpenPresence(t.Context(), s, PresenceOptions{Renew: 50 * time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close(context.Background())) }()
	p.Watch(func(c rooms.Change) { t.Errorf("told of %v", c) })
	who := rooms.Participant{RoomID: "a", Generation: room.Generation, ClientID: "ada"}
	kept := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.entries)
	}
	// Once the node finds that the room is deleted before the client leaves, and once it may not have.
	<-p.Enter(t.Context(), who)
	require.Equal(t, 1, kept(), "it is there until it leaves")
	p.Exit(t.Context(), who)
	require.Eventually(t, func() bool { return kept() == 0 }, waitFor, tick)
	p.Enter(t.Context(), who)
	p.Exit(t.Context(), who)
	require.Eventually(t, func() bool { return kept() == 0 }, waitFor, tick)
}

// TestPresenceOutlivesConnections has PostgreSQL end the node's connections while clients come and go.
func TestPresenceOutlivesConnections(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database(t)
	// The background work of either may lose its connection too.
	unheard := func() rooms.Store {
		s, err := Open(t.Context(), url, Options{})
		require.NoError(t, err)
		return s
	}
	killer := unheard().(*postgresStore)
	defer func() { require.NoError(t, killer.Close()) }()
	storetest.CreateRoom(t, killer, "a")
	room, err := killer.Room(t.Context(), "a")
	require.NoError(t, err)

	s := unheard()
	defer func() { require.NoError(t, s.Close()) }()
	p, err := OpenPresence(t.Context(), s, PresenceOptions{Lease: time.Minute, Renew: 100 * time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close(context.Background())) }()
	var mu sync.Mutex
	there := make(map[string]bool)
	p.Watch(func(c rooms.Change) {
		mu.Lock()
		defer mu.Unlock()
		there[c.ClientID] = c.Entered
	})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				_, _ = killer.pool.Exec(context.Background(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()`)
			}
		}
	})
	wanted := make(map[string]bool)
	for range 3000 {
		id := fmt.Sprint(rand.IntN(50))
		who := rooms.Participant{RoomID: "a", Generation: room.Generation, ClientID: id}
		if wanted[id] = !wanted[id]; wanted[id] {
			p.Enter(t.Context(), who)
		} else {
			p.Exit(t.Context(), who)
		}
		if rand.IntN(10) == 0 {
			time.Sleep(time.Millisecond) // the pace of the test, not a wait for something
		}
	}
	close(stop)
	wg.Wait()
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		for id := range wanted {
			if wanted[id] != there[id] {
				return false
			}
		}
		return true
	}, waitFor, tick)
	n := 0
	for id := range wanted {
		if wanted[id] {
			n++
		}
	}
	list := []rooms.Room{room}
	require.NoError(t, p.Fill(t.Context(), list))
	require.Equal(t, n, list[0].Participants)
}
