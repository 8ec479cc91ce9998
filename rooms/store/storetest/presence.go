package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/traceroom/traceroom/rooms"
)

// PresenceSuite holds the conformance tests for one implementation of rooms.Presence.
type PresenceSuite struct {
	// New makes an empty database, and returns a store on it and a function that makes a node on it. The suite closes both.
	New func(t *testing.T) (rooms.Store, func() Node)
}

// Node is one of several nodes on a database.
type Node struct {
	rooms.Presence
	Die   func() // ends the node without telling the others
	Stall func() // makes the others believe that the node is dead, which it is not
	Close func()
}

// patience is how long a test waits for something that must happen.
const patience = 20 * time.Second

// Run runs the tests.
func (s PresenceSuite) Run(t *testing.T) {
	for name, test := range map[string]func(*testing.T, *cluster){
		"a client with connections on two nodes": testTwoNodes,
		"whoever comes next finds it counted":    testCounted,
		"many come and go at once":               testComeAndGo,
		"a node dies":                            testDeath,
		"a node only seemed dead":                testStall,
		"a node says good-bye":                   testGoodbye,
		"a room is deleted":                      testForget,
	} {
		t.Run(name, func(t *testing.T) {
			db, node := s.New(t)
			c := &cluster{Store: db}
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			for range 3 {
				n := node()
				n.Watch(c.note)
				c.nodes = append(c.nodes, n)
			}
			c.open = slices.Repeat([]bool{true}, len(c.nodes))
			t.Cleanup(func() {
				for i, n := range c.nodes {
					if c.open[i] {
						n.Close()
					}
				}
			})
			for _, id := range []string{"a", "b", "c"} {
				CreateRoom(t, db, id)
				room, err := db.Room(t.Context(), id)
				require.NoError(t, err)
				c.rooms = append(c.rooms, room)
			}
			test(t, c)
		})
	}
}

// cluster is several nodes and rooms, and the changes that the nodes have notified.
type cluster struct {
	rooms.Store
	nodes []Node
	open  []bool
	rooms []rooms.Room

	mu   sync.Mutex
	told []rooms.Change
}

func (c *cluster) note(change rooms.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, change)
}

func (c *cluster) who(room int, client string) rooms.Participant {
	r := c.rooms[room]
	return rooms.Participant{RoomID: r.ID, Generation: r.Generation, ClientID: client, Transport: "websocket", At: epoch}
}

// await waits until the nodes have notified n changes, and returns them by room, in their order.
func (c *cluster) await(t *testing.T, n int) map[string][]rooms.Change {
	t.Helper()
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.told) >= n
	}, patience, time.Millisecond, "%d changes", n)
	return c.changes(t)
}

// changes returns what the nodes have notified, by room. It checks that in the order of the turns each client comes and goes by
// turns, and that the counts are right.
func (c *cluster) changes(t *testing.T) map[string][]rooms.Change {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	byRoom := make(map[string][]rooms.Change)
	for _, change := range c.told {
		byRoom[change.RoomID] = append(byRoom[change.RoomID], change)
	}
	for id, list := range byRoom {
		slices.SortFunc(list, func(a, b rooms.Change) int { return cmp.Compare(a.Turn, b.Turn) })
		there := make(map[string]bool)
		for i, change := range list {
			require.EqualValues(t, i+1, change.Turn, "%s: every change has a turn", id)
			require.NotEqual(t, there[change.ClientID], change.Entered, "%s: %s comes and goes by turns", id, change.ClientID)
			there[change.ClientID] = change.Entered
			if !change.Entered {
				delete(there, change.ClientID)
			}
			require.Len(t, there, change.Participants, "%s: participants after turn %d", id, change.Turn)
		}
	}
	return byRoom
}

// counts returns the number of the room's participants that each node has.
func (c *cluster) counts(t *testing.T, room int) (list []int) {
	t.Helper()
	for i, node := range c.nodes {
		if !c.open[i] {
			continue
		}
		filled := []rooms.Room{c.rooms[room], {ID: "nowhere", Generation: 1 << 40}}
		require.NoError(t, node.Fill(t.Context(), filled))
		require.Zero(t, filled[1].Participants)
		list = append(list, filled[0].Participants)
	}
	return list
}

// count returns the number of the room's participants. All nodes must agree on it, as nobody comes or goes.
func (c *cluster) count(t *testing.T, room int) int {
	t.Helper()
	list := c.counts(t, room)
	for _, n := range list {
		require.Equal(t, list[0], n)
	}
	return list[0]
}

func testTwoNodes(t *testing.T, c *cluster) {
	ctx := t.Context()
	c.nodes[0].Enter(ctx, c.who(0, "ada"))
	first := c.await(t, 1)["a"][0]
	require.Equal(t, c.who(0, "ada"), first.Participant)
	require.NotNil(t, first.Ctx)
	c.nodes[1].Enter(ctx, c.who(0, "ada"))
	c.nodes[1].Enter(ctx, c.who(0, "bob"))
	c.await(t, 2)
	require.Equal(t, 2, c.count(t, 0))
	c.nodes[0].Exit(ctx, c.who(0, "ada"))
	c.nodes[0].Enter(ctx, c.who(1, "ada"))
	c.await(t, 3)
	require.Equal(t, 2, c.count(t, 0), "ada is still there by the other node")
	c.nodes[1].Exit(ctx, c.who(0, "ada"))
	list := c.await(t, 4)["a"]
	require.Len(t, list, 3)
	require.Equal(t, "ada", list[2].ClientID)
	require.False(t, list[2].Entered)
	require.Equal(t, 1, c.count(t, 0))
	require.Equal(t, 1, c.count(t, 1))
	require.Equal(t, 0, c.count(t, 2))
}

func testCounted(t *testing.T, c *cluster) {
	ctx := t.Context()
	counted := func(ch <-chan struct{}) {
		t.Helper()
		if ch == nil {
			return
		}
		select {
		case <-ch:
		case <-time.After(patience):
			t.Fatal("the client is not counted")
		}
	}
	for i := range 20 {
		counted(c.nodes[i%3].Enter(ctx, c.who(0, fmt.Sprint(i))))
		require.Equal(t, i+1, c.count(t, 0))
	}
	for i, change := range c.await(t, 20)["a"] {
		require.Equal(t, fmt.Sprint(i), change.ClientID)
		require.Equal(t, i+1, change.Participants)
	}
	// Nobody waits in vain for a client that is gone, or for a room that is.
	gone := c.nodes[0].Enter(ctx, c.who(1, "gone"))
	c.nodes[0].Exit(ctx, c.who(1, "gone"))
	counted(gone)
	_, err := c.DeleteRoom(ctx, "c")
	require.NoError(t, err)
	counted(c.nodes[0].Enter(ctx, c.who(2, "late")))
	deleted := c.nodes[1].Enter(ctx, c.who(2, "later"))
	c.nodes[1].Forget(c.rooms[2].Generation)
	counted(deleted)
}

func testComeAndGo(t *testing.T, c *cluster) {
	ctx := t.Context()
	const clients, moves = 20, 1500
	there := make([]map[rooms.Participant]bool, len(c.nodes))
	var wg sync.WaitGroup
	for n, node := range c.nodes {
		there[n] = make(map[rooms.Participant]bool)
		wg.Go(func() {
			for range moves {
				who := c.who(rand.IntN(len(c.rooms)), fmt.Sprint("client", rand.IntN(clients)))
				if there[n][who] = !there[n][who]; there[n][who] {
					node.Enter(ctx, who)
				} else {
					node.Exit(ctx, who)
				}
				if rand.IntN(20) == 0 {
					time.Sleep(time.Millisecond) // the pace of the test, not a wait for something
				}
			}
		})
	}
	wg.Wait()
	want := make([]map[string]bool, len(c.rooms))
	for r := range c.rooms {
		want[r] = make(map[string]bool)
		for n := range c.nodes {
			for who, is := range there[n] {
				if is && who.RoomID == c.rooms[r].ID {
					want[r][who.ClientID] = true
				}
			}
		}
	}
	require.Eventually(t, func() bool {
		for r := range c.rooms {
			for _, n := range c.counts(t, r) {
				if n != len(want[r]) {
					return false
				}
			}
		}
		return true
	}, patience, 10*time.Millisecond)
	c.settled(t, want)
}

// settled waits until, by all changes that were notified, exactly the clients in want are in the rooms.
func (c *cluster) settled(t *testing.T, want []map[string]bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		c.mu.Lock()
		told := slices.Clone(c.told)
		c.mu.Unlock()
		slices.SortFunc(told, func(a, b rooms.Change) int { return cmp.Compare(a.Turn, b.Turn) })
		for r := range c.rooms {
			is := make(map[string]bool)
			for _, change := range told {
				if change.RoomID != c.rooms[r].ID {
					continue
				}
				if is[change.ClientID] = change.Entered; !change.Entered {
					delete(is, change.ClientID)
				}
			}
			if len(is) != len(want[r]) {
				return false
			}
			for id := range want[r] {
				if !is[id] {
					return false
				}
			}
		}
		return true
	}, patience, 10*time.Millisecond)
	c.changes(t)
}

func testDeath(t *testing.T, c *cluster) {
	ctx := t.Context()
	c.nodes[1].Enter(ctx, c.who(0, "0"))
	c.await(t, 1)
	for i := range 10 {
		c.nodes[0].Enter(ctx, c.who(i%2, fmt.Sprint(i))) // 0 has connections on both
	}
	c.nodes[2].Enter(ctx, c.who(1, "alone"))
	c.await(t, 11)
	require.Equal(t, 5, c.count(t, 0))
	c.nodes[0].Die()
	c.open[0] = false
	c.settled(t, []map[string]bool{{"0": true}, {"alone": true}, {}})
	require.Equal(t, 1, c.count(t, 0))
	require.Equal(t, 1, c.count(t, 1))
	require.Len(t, c.changes(t)["a"], 5+4)
}

func testStall(t *testing.T, c *cluster) {
	ctx := t.Context()
	c.nodes[1].Enter(ctx, c.who(0, "0"))
	c.await(t, 1)
	for i := range 10 {
		c.nodes[0].Enter(ctx, c.who(i%2, fmt.Sprint(i)))
	}
	c.await(t, 10)
	c.nodes[0].Stall()
	// Nine are told to have gone and to have come again; 0 is there all the time.
	c.await(t, 10+9+9)
	c.settled(t, []map[string]bool{
		{"0": true, "2": true, "4": true, "6": true, "8": true}, {"1": true, "3": true, "5": true, "7": true, "9": true}, {},
	})
	require.Len(t, c.changes(t)["a"], 5+4+4)
	c.nodes[0].Exit(ctx, c.who(0, "2"))
	c.await(t, 10+9+9+1)
	require.Equal(t, 4, c.count(t, 0))
}

func testGoodbye(t *testing.T, c *cluster) {
	ctx := t.Context()
	c.nodes[1].Enter(ctx, c.who(0, "0"))
	c.await(t, 1)
	for i := range 10 {
		c.nodes[0].Enter(ctx, c.who(i%2, fmt.Sprint(i)))
	}
	c.await(t, 10)
	require.Equal(t, 5, c.count(t, 0))
	c.nodes[0].Close()
	c.open[0] = false
	require.Len(t, c.changes(t)["a"], 5+4, "it tells so itself, before it is closed")
	require.Len(t, c.changes(t)["b"], 5+5)
	require.Equal(t, 1, c.count(t, 0))
}

func testForget(t *testing.T, c *cluster) {
	ctx := t.Context()
	for n, node := range c.nodes {
		node.Enter(ctx, c.who(0, fmt.Sprint("client", n)))
	}
	c.nodes[0].Enter(ctx, c.who(1, "other"))
	c.await(t, 4)
	_, err := c.DeleteRoom(ctx, "a")
	require.NoError(t, err)
	c.nodes[1].Forget(c.rooms[0].Generation)
	c.nodes[2].Enter(ctx, c.who(0, "late")) // this one has not heard of it yet
	c.nodes[2].Exit(ctx, c.who(0, "client2"))
	require.Equal(t, 0, c.count(t, 0))
	CreateRoom(t, c.Store, "a")
	again, err := c.Room(ctx, "a")
	require.NoError(t, err)
	c.rooms[0] = again
	require.Equal(t, 0, c.count(t, 0))
	c.nodes[2].Forget(again.Generation - 1)
	c.nodes[2].Enter(ctx, c.who(1, "another"))
	list := c.await(t, 5)
	require.Len(t, list["a"], 3, "of those who were in a deleted room nobody says that they left")
	require.Equal(t, 2, c.count(t, 1))
}
