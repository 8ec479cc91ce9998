package promises

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/traceroom/traceroom/rooms"
)

// op is what a command does.
type op string

const (
	connect op = "connect" // a client connects to a node and resumes; an older connection is cut
	hangUp  op = "hang up" // its connection is cut
	send    op = "send"    // it sends N messages
	post    op = "post"    // somebody posts N messages to a room on a node, without a connection
	stall   op = "stall"   // it stops reading, or continues
	remove  op = "remove"  // a node is asked to delete a room
	erase   op = "erase"   // a node is asked to delete a room's newest message
	kill    op = "kill"    // a node is killed; it starts again when a client connects to it
	pause   op = "pause"   // a node stands still for a while
	cutOff  op = "cut off" // a node gets no events of others for a while
	away    op = "away"    // a node's store fails for a while
	rest    op = "rest"
)

// command is one step of a plan. Which fields matter depends on Op.
type command struct {
	Op                 op
	Node, Client, Room int
	N                  int
	For                time.Duration // pause, cutOff, away
	Flag               bool          // cutOff: the node notices when it is over; away: calls succeed, but their answers are lost
	// Then is how long to wait before the next command: 0: not at all; quietly: until all goroutines wait; or a time.
	Then time.Duration
}

const quietly = time.Nanosecond

func (c command) String() string {
	return fmt.Sprintf("{Op: %q, Node: %d, Client: %d, Room: %d, N: %d, For: %d, Flag: %t, Then: %d}",
		c.Op, c.Node, c.Client, c.Room, c.N, c.For, c.Flag, c.Then)
}

// plan is what decides a run.
type plan struct {
	Nodes, Rooms, Clients int
	Seed                  uint64
	Slowness              time.Duration // of the store
	Lateness              time.Duration // of events between nodes
	Lost, Twice           int           // events in a hundred
	Commands              []command     // after all clients have connected, each to the next node
}

// String returns the plan as Go source, to be kept in a test.
func (p plan) String() string {
	s := fmt.Sprintf("plan{Nodes: %d, Rooms: %d, Clients: %d, Seed: %d, Slowness: %d, Lateness: %d, Lost: %d, Twice: %d, Commands: []command{\n",
		p.Nodes, p.Rooms, p.Clients, p.Seed, p.Slowness, p.Lateness, p.Lost, p.Twice)
	for _, c := range p.Commands {
		s += fmt.Sprintf("\t%s,\n", c)
	}
	return s + "}}"
}

// database is the database of all nodes.
type database interface {
	// node returns the Store of a new node. It holds what dead nodes have stored.
	node() rooms.Store
	// shared reports whether several nodes may use it at once.
	shared() bool
	// messages returns all messages of a room.
	messages(room string) []*rooms.Message
	close()
}

func (d *disk) node() rooms.Store { return d.open() }
func (d *disk) shared() bool      { return true }
func (d *disk) close()            {}
func (d *disk) messages(room string) []*rooms.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rooms[room].after(0)
}

// world is the nodes and clients of a run. The first goroutine of the bubble carries out the commands.
//
// mu guards the clients, connections and nodes. It is never held while a Hub is called.
type world struct {
	plan   plan
	record *record
	db     database
	dice   dice
	texts  atomic.Int64
	tasks  sync.WaitGroup
	people *attendance

	mu      sync.Mutex
	clients []*client
	conns   []*conn
	nodes   []*node
	dead    []*node
}

// run carries out a plan in a bubble, after all clients have joined their rooms, and returns what happened.
func run(t *testing.T, p plan, open func(*testing.T, *record) database) (events []event) {
	synctest.Test(t, func(t *testing.T) {
		r := &record{}
		w := &world{
			plan: p, record: r, db: open(t, r), dice: dice{Rand: rand.New(rand.NewPCG(p.Seed, 1))},
			people: &attendance{rooms: make(map[int64]map[string]int), turns: make(map[int64]int64)},
			nodes:  make([]*node, p.Nodes),
		}
		for i := range p.Clients {
			w.clients = append(w.clients, &client{name: fmt.Sprint("client", i), room: roomID(i % p.Rooms), since: fresh})
		}
		for i := range w.nodes {
			w.start(t, i)
		}
		for i := range w.clients {
			w.do(t, command{Op: connect, Client: i, Node: i % p.Nodes})
		}
		time.Sleep(time.Second)
		for _, c := range p.Commands {
			w.do(t, c)
			switch c.Then {
			case 0:
			case quietly:
				synctest.Wait()
			default:
				time.Sleep(c.Then)
			}
		}
		w.end(t)
		events = r.all()
	})
	return events
}

// text returns a text that nobody has sent.
func (w *world) text() string { return fmt.Sprint("text", w.texts.Add(1)) }

func roomID(i int) string { return fmt.Sprint("room", i) }

// start starts node i, which does not exist or is dead.
func (w *world) start(t *testing.T, i int) *node {
	n := &node{world: w, store: w.db.node()}
	cfg := rooms.Config{Store: troubled{n.store, n}, Relay: way{n}}
	if w.db.shared() {
		cfg.Presence = &share{attendance: w.people}
	}
	var err error
	if n.Hub, err = rooms.NewHub(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.nodes[i]; old != nil {
		w.dead = append(w.dead, old)
	}
	w.nodes[i] = n
	return n
}

// others returns all nodes but n.
func (w *world) others(n *node) (list []*node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, other := range w.nodes {
		if other != nil && other != n {
			list = append(list, other)
		}
	}
	return list
}

// alive returns node i, which it starts if it is dead.
func (w *world) alive(t *testing.T, i int) *node {
	if n := w.nodes[i]; !n.dead.Load() {
		return n
	}
	return w.start(t, i)
}

// hangUp cuts all connections to a node.
func (w *world) hangUp(n *node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		if c.node == n {
			c.end()
		}
	}
}

func (w *world) do(t *testing.T, c command) {
	n, who := w.nodes[c.Node%w.plan.Nodes], w.clients[c.Client%w.plan.Clients]
	room := roomID(c.Room % w.plan.Rooms)
	switch c.Op {
	case connect:
		n = w.alive(t, c.Node%w.plan.Nodes)
		w.mu.Lock()
		defer w.mu.Unlock()
		if who.conn != nil {
			who.conn.end()
		}
		who.conn = &conn{id: len(w.conns) + 1, client: who, node: n, world: w, work: make(chan func(), 4096), open: true}
		w.conns = append(w.conns, who.conn)
		w.tasks.Go(who.conn.live)
		who.conn.work <- who.conn.join
	case hangUp, stall, send:
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case who.conn == nil || !who.conn.open:
		case c.Op == hangUp:
			who.conn.end()
		case c.Op == stall:
			who.conn.stall(!who.conn.stalled)
		default:
			for range c.N {
				who.conn.work <- who.conn.send
			}
		}
	case post:
		w.on(n, func() {
			for range c.N {
				n.send(fromHTTP, rooms.Post{RoomID: room, ClientID: "somebody", Text: w.text()})
			}
		})
	case remove:
		w.on(n, func() { _ = n.DeleteRoom(context.Background(), room) })
	case erase:
		w.on(n, func() {
			page, err := n.Messages(context.Background(), room, rooms.Query{Limit: 1})
			if err == nil && len(page.Messages) == 1 {
				_ = n.DeleteMessage(context.Background(), page.Messages[0].ID)
			}
		})
	case kill:
		n.kill()
	case pause:
		n.pause()
		time.AfterFunc(c.For, n.goOn)
	case cutOff:
		n.setCutOff(true)
		time.AfterFunc(c.For, func() {
			n.setCutOff(false)
			if c.Flag {
				n.CatchUp()
			}
		})
	case away:
		is := refusing
		if c.Flag {
			is = answerLost
		}
		n.setAway(is)
		time.AfterFunc(c.For, func() { n.setAway(wellStore) })
	}
}

// on calls f on a node, for somebody who is not a client.
func (w *world) on(n *node, f func()) {
	w.tasks.Go(func() {
		if n.pass() {
			f()
		}
	})
}

// calm is how long there is no trouble at the end of a run: longer than any trouble lasts that a plan has begun, and than a node then
// needs to compare itself with the store and to catch up.
const calm = 40 * time.Second

// end ends all trouble, records what the store holds, and ends all that runs.
func (w *world) end(t *testing.T) {
	for _, n := range w.nodes {
		n.goOn()
		n.setCutOff(false)
		n.setAway(wellStore)
	}
	w.mu.Lock()
	for _, c := range w.conns {
		c.stall(false)
	}
	w.mu.Unlock()
	time.Sleep(calm)
	synctest.Wait()
	for i := range w.plan.Rooms {
		for _, m := range w.db.messages(roomID(i)) {
			w.record.add(event{Kind: kept, Room: m.RoomID, Gen: m.Generation, Seq: m.Seq, Text: m.Text})
		}
	}
	w.record.add(event{Kind: quiet})

	w.mu.Lock()
	for _, c := range w.conns {
		c.end()
		close(c.work)
	}
	w.mu.Unlock()
	w.tasks.Wait()
	for _, n := range append(w.nodes, w.dead...) {
		if err := n.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.db.close()
}
