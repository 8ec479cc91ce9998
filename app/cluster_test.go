package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/rooms/relay/natstest"
	"github.com/traceroom/traceroom/rooms/store/pgtest"
)

// cluster is nodes that share a PostgreSQL database and a NATS server, each with a proxy of its own to NATS.
type cluster struct {
	pg    *pgtest.Server
	nats  *natstest.Server
	ways  []*apptest.Proxy
	nodes []*apptest.Program
}

func startCluster(t *testing.T, count int, env ...string) *cluster {
	t.Helper()
	c := &cluster{pg: pgtest.Start(t), nats: natstest.Start(t)}
	database := c.pg.Database(t)
	for range count {
		way := apptest.NewProxy(t, c.nats.Address())
		c.ways = append(c.ways, way)
		c.nodes = append(c.nodes, apptest.Start(t, apptest.Options{
			Env: append([]string{"DATABASE_URL=" + database, "NATS_URL=nats://" + way.Addr()}, env...),
		}))
	}
	return c
}

// notices returns the frames of a type as "client count".
func notices(c *apptest.Client, kind string) (list []string) {
	for _, f := range c.Frames() {
		if f.Type == kind {
			list = append(list, fmt.Sprint(f.ClientID, " ", f.Participants))
		}
	}
	return list
}

func TestNodesHaveOneConversation(t *testing.T) {
	c := startCluster(t, 3)

	t.Run("members of all nodes are told the same", func(t *testing.T) {
		var members []*apptest.Client
		for i, p := range c.nodes {
			members = append(members, p.Join(t, "room.with.dots", fmt.Sprint("client", i)))
		}
		const each = 50
		for n := range each {
			for i, m := range members {
				m.Send(t, apptest.Message{Type: "message", Text: fmt.Sprint(i, ".", n), Ref: fmt.Sprint(n)})
			}
		}
		first := ""
		for i, m := range members {
			require.NoError(t, m.Wait(func(frames []apptest.Frame) bool { return lastSeq(frames) == 3*each }))
			var all strings.Builder
			for k, f := range m.Messages() {
				require.EqualValues(t, k+1, f.Seq)
				// Which span of the trace it is depends on how the message came: through NATS, or read from the store.
				require.Len(t, f.TraceParent, 55)
				fmt.Fprintln(&all, f.ID, f.Text, f.ClientID, f.Timestamp, f.TraceParent[3:35])
				if f.ClientID == m.Client {
					require.Equal(t, fmt.Sprint(i, ".", f.Ref), f.Text)
				} else {
					require.Empty(t, f.Ref)
				}
			}
			if first == "" {
				first = all.String()
			}
			require.Equal(t, first, all.String())
		}
		members[0].Send(t, `{"type":"typing"}`)
		for _, m := range members[1:] {
			_, f := m.UntilType(t, "typing")
			require.Equal(t, "client0", f.ClientID)
		}
		m := c.nodes[0].Metrics(t)
		require.Positive(t, m["traceroom_relay_lag_seconds_count"])
		require.EqualValues(t, 1, m["traceroom_relay_connected"])
		require.Contains(t, m, "traceroom_relay_catch_up_reads_total")
		require.Contains(t, m, "traceroom_relay_reconnects_total")
	})

	t.Run("a client is one participant wherever its connections are", func(t *testing.T) {
		watcher := c.nodes[0].Join(t, "people", "watcher")
		var ada []*apptest.Client
		for _, p := range c.nodes {
			ada = append(ada, p.Join(t, "people", "ada"))
		}
		bob := c.nodes[2].Join(t, "people", "bob")
		for _, p := range c.nodes {
			apptest.Eventually(t, "every node counts three", func() bool { return participants(t, p, "people") == 3 })
		}
		ada[1].Leave(t)
		ada[0].Leave(t)
		bob.Leave(t)
		watcher.UntilType(t, "user_left")
		require.Equal(t, 2, participants(t, c.nodes[1], "people"))
		ada[2].Drop()
		watcher.UntilType(t, "user_left")
		require.Equal(t, []string{"ada 2", "bob 3"}, notices(watcher, "user_joined"))
		require.Equal(t, []string{"bob 2", "ada 1"}, notices(watcher, "user_left"))
		for _, p := range c.nodes {
			require.Equal(t, 1, participants(t, p, "people"))
			var list struct{ Rooms []room }
			p.Get(t, "/rooms").JSON(t, &list)
			for _, r := range list.Rooms {
				if r.RoomID == "people" {
					require.Equal(t, 1, *r.Participants)
				}
			}
		}
	})

	t.Run("a room is deleted everywhere", func(t *testing.T) {
		a, b := c.nodes[0].Join(t, "deleted", "a"), c.nodes[1].Join(t, "deleted", "b")
		a.Say(t, "old")
		b.UntilText(t, "old")
		require.Equal(t, http.StatusOK, c.nodes[2].Do(t, http.MethodDelete, "/rooms/deleted", nil).Status)
		for _, m := range []*apptest.Client{a, b} {
			m.UntilType(t, "room_deleted")
			code, _ := m.Closed(t)
			require.Equal(t, 4001, code)
		}
		for _, p := range c.nodes {
			requireProblem(t, http.StatusNotFound, p.Get(t, "/rooms/deleted"))
		}
		b = c.nodes[1].Join(t, "deleted", "b")
		a = c.nodes[0].Resume(t, "deleted", "a", 1)
		b.Say(t, "new")
		_, f := a.UntilText(t, "new")
		require.EqualValues(t, 1, f.Seq)
		require.Len(t, a.Messages(), 1)
		apptest.Eventually(t, "both are counted in the new room", func() bool { return participants(t, c.nodes[2], "deleted") == 2 })
	})

	t.Run("what is posted on one node reaches Socket.IO clients of another", func(t *testing.T) {
		sio, err := c.nodes[1].SocketIO()
		require.NoError(t, err)
		defer sio.Close()
		require.NoError(t, sio.Emit("join", map[string]string{"user_id": "u", "chatroom_id": "posted"}))
		name, _, err := sio.Next()
		require.NoError(t, err)
		require.Equal(t, "joined", name)
		var user struct{ ID string }
		c.nodes[0].PostJSON(t, "/users", map[string]string{"name": "Ada", "handle": "ada"}).JSON(t, &user)
		res := c.nodes[2].PostJSON(t, "/messages", map[string]string{"message_text": "hello", "user_id": user.ID, "chatroom_id": "posted"})
		require.Equal(t, http.StatusCreated, res.Status, res.Body)
		name, data, err := sio.Next()
		require.NoError(t, err)
		require.Equal(t, "new_message", name)
		require.JSONEq(t, res.Body, string(data))
		var posted struct{ ID string }
		res.JSON(t, &posted)
		require.Equal(t, http.StatusOK, c.nodes[0].Do(t, http.MethodDelete, "/messages/"+posted.ID, nil).Status)
		requireProblem(t, http.StatusNotFound, c.nodes[1].Get(t, "/messages/"+posted.ID))
	})
}

func TestATraceGoesAcrossNodes(t *testing.T) {
	collector := apptest.NewCollector(t)
	c := startCluster(t, 2, collector.Env()...)
	a := c.nodes[0].Join(t, "traced", "a")
	b := c.nodes[1].Join(t, "traced", "b")
	const browser, trace = "00f067aa0ba902b7", "4bf92f3577b34da6a3ce929d0e0e4736"
	a.Send(t, apptest.Message{Type: "message", Text: "a secret", TraceParent: "00-" + trace + "-" + browser + "-01", TraceState: "vendor=1"})
	_, f := b.UntilText(t, "a secret")
	require.Contains(t, f.TraceParent, trace)
	require.Equal(t, "vendor=1", f.TraceState)

	node := func(s apptest.Span) any { return s.Resource["service.instance.id"] }
	child := func(name, parent string) apptest.Span {
		return collector.Wait(t, name, func(s apptest.Span) bool {
			return s.TraceID == trace && s.Name == name && s.ParentID == parent
		})
	}
	receive := child("receive room/{room}", browser)
	stored := child("append", receive.ID)
	broadcast := child("broadcast room/{room}", receive.ID)
	here := child("deliver room/{room}", broadcast.ID)
	relayed := child("relay room/{room}", broadcast.ID)
	there := child("deliver room/{room}", relayed.ID)
	require.Equal(t, "SPAN_KIND_CONSUMER", relayed.Kind.String())
	require.Equal(t, node(receive), node(here))
	require.NotEqual(t, node(receive), node(there))
	require.Equal(t, node(there), node(relayed))
	require.EqualValues(t, 1, there.Attrs["traceroom.written"])
	require.Equal(t, "vendor=1", there.TraceState)

	sql := collector.Wait(t, "the statement that stored it", func(s apptest.Span) bool { return s.TraceID == trace && s.ParentID == stored.ID })
	require.Equal(t, "UPDATE rooms INSERT messages", sql.Name)
	require.Equal(t, "postgresql", sql.Attrs["db.system.name"])
	require.Equal(t, sql.Name, sql.Attrs["db.query.summary"])
	for _, s := range collector.Spans() {
		for key, value := range s.Attrs {
			require.NotContains(t, fmt.Sprint(value), "secret", "%s of %s", key, s.Name)
		}
	}

	// A join or a leave is one trace across nodes too.
	b2 := c.nodes[1].Join(t, "traced", "b2")
	a.UntilType(t, "user_joined")
	joined := collector.Wait(t, "join", func(s apptest.Span) bool {
		return s.Name == "join room/{room}" && s.Attrs["messaging.client.id"] == "b2"
	})
	told := collector.Wait(t, "broadcast of it", func(s apptest.Span) bool {
		return s.ParentID == joined.ID && s.Name == "broadcast room/{room}"
	})
	collector.Wait(t, "relay of it", func(s apptest.Span) bool {
		return s.TraceID == joined.TraceID && s.ParentID == told.ID && s.Name == "relay room/{room}" && node(s) == node(receive)
	})
	b2.Leave(t)
}

func TestStartWithoutPostgreSQLOrNATS(t *testing.T) {
	nats := natstest.Start(t)
	pg := pgtest.Start(t)
	database := pg.Database(t)
	for _, test := range []struct {
		env  []string
		says string
	}{
		{[]string{"NATS_URL=" + nats.URL()}, "--nats (NATS_URL): cannot use"},
		{[]string{"NATS_URL=" + nats.URL()}, "--database (DATABASE_URL) to be postgres://…"},
		{[]string{"DATABASE_URL=postgres://user:hidden@127.0.0.1:1/none", "STARTUP_TIMEOUT=1s"}, "PostgreSQL at 127.0.0.1:1 cannot be reached"},
		{[]string{"DATABASE_URL=" + database, "NATS_URL=nats://user:hidden@127.0.0.1:1", "STARTUP_TIMEOUT=1s"}, "NATS cannot be reached"},
		{[]string{"DATABASE_URL=" + database, "NATS_URL=nats://hidden@127.0.0.1:1", "STARTUP_TIMEOUT=1s"}, "NATS cannot be reached"},
		{[]string{"DATABASE_URL=" + database, "NATS_URL=nowhere"}, "nats://HOST:PORT"},
	} {
		out := apptest.Run(t, apptest.Options{Env: test.env})
		require.Equal(t, 2, out.Code, out.Stderr)
		lines := strings.Split(strings.TrimSpace(out.Stderr), "\n")
		last := lines[len(lines)-1]
		require.Contains(t, last, test.says)
		require.NotContains(t, out.Stderr, "hidden")
	}
}

// Two processes on one database without NATS would learn of each other's messages late: the second does not start, and says why.
// A process that was killed does not keep the next one from starting.
func TestNodesThatShareADatabaseNeedNATS(t *testing.T) {
	database := "DATABASE_URL=" + pgtest.Start(t).Database(t)
	nats := "NATS_URL=" + natstest.Start(t).URL()
	refused := func(env ...string) {
		t.Helper()
		out := apptest.Run(t, apptest.Options{Env: append(env, database, "STARTUP_TIMEOUT=1s")})
		require.Equal(t, 2, out.Code, out.Stderr)
		lines := strings.Split(strings.TrimSpace(out.Stderr), "\n")
		require.Contains(t, lines[len(lines)-1], "--nats (NATS_URL)")
		require.Contains(t, lines[len(lines)-1], "another process uses the database")
	}
	alone := apptest.Start(t, apptest.Options{Env: []string{database}})
	refused()
	refused(nats)
	ada := alone.Join(t, "general", "ada")
	say(t, ada, "still here")
	alone.Kill(t)
	alone.Restart(t)
	alone.Stop(t)

	one := apptest.Start(t, apptest.Options{Env: []string{database, nats}})
	two := apptest.Start(t, apptest.Options{Env: []string{database, nats}})
	refused()
	two.Stop(t)
	refused()
	one.Stop(t)
	alone.Restart(t)
	say(t, alone.Join(t, "general", "ada"), "alone again")
}

// While a node waits for PostgreSQL, it answers load balancers at once.
func TestANodeSaysThatItIsStarting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	said := make(chan string, 1)
	go func() {
		for {
			ready, err := apptest.Do(http.MethodGet, "http://"+addr+"/readyz", nil)
			if err != nil {
				time.Sleep(5 * time.Millisecond) // not listening yet
				continue
			}
			other, err := apptest.Do(http.MethodGet, "http://"+addr+"/rooms", nil)
			if err != nil {
				said <- err.Error()
				return
			}
			said <- fmt.Sprint(ready.Status, ready.Body, other.Status, other.Header.Get("Content-Type"))
			return
		}
	}()
	out := apptest.Run(t, apptest.Options{Env: []string{"ADDR=" + addr, "DATABASE_URL=postgres://127.0.0.1:1/none", "STARTUP_TIMEOUT=2s"}})
	require.Equal(t, 2, out.Code)
	require.Equal(t, "503"+`{"status":"starting"}`+"\n"+"503application/problem+json", <-said)
}
