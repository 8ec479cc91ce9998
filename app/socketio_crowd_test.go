package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/web/socketio/stockclient"
)

// gate is a proxy that holds WebSocket requests until it is opened and passes all others.
type gate struct {
	url    string
	opened chan struct{}
}

func newGate(t *testing.T, p *apptest.Program) *gate {
	target, err := url.Parse(p.URL)
	require.NoError(t, err)
	g := &gate{opened: make(chan struct{})}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	proxy.ErrorLog = log.New(io.Discard, "", 0) // of clients that have gone
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if websocket.IsWebSocketUpgrade(r) {
			select {
			case <-g.opened:
			case <-r.Context().Done():
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// crowd is a room whose Socket.IO members join while messages are posted.
type crowd struct {
	p       *apptest.Program
	room    string
	clients []*stockclient.Client
}

// pause is between two messages of a speaker: the clients, which are one process, must keep up with what is said.
const pause = 10 * time.Millisecond

// speak posts messages, and sends some as a WebSocket member, each after the one before was stored, until stop is set.
func (c *crowd) speak(user string, web *apptest.Client, sent *atomic.Int64, stop *atomic.Bool) error {
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		var seen tally
		for n := 1; !stop.Load(); n++ {
			if failed = web.Write(apptest.Message{Type: "message", Text: "over WebSocket", Ref: fmt.Sprint(n)}); failed != nil {
				return
			}
			if failed = web.Wait(func(frames []apptest.Frame) bool { return seen.of(frames).own == n }); failed != nil {
				return
			}
			sent.Add(1)
			time.Sleep(pause)
		}
	})
	body, err := json.Marshal(obj{"message_text": "posted", "user_id": user, "chatroom_id": c.room})
	for err == nil && !stop.Load() {
		var res *apptest.Response
		res, err = apptest.Do("POST", c.p.URL+"/messages/", body, "Content-Type", "application/json")
		if err == nil && res.Status != 201 {
			err = fmt.Errorf("%d: %s", res.Status, res.Body)
		}
		sent.Add(1)
		time.Sleep(pause)
	}
	wg.Wait()
	if err == nil {
		err = failed
	}
	return err
}

func TestFiftySocketIOClientsGetEveryMessageOnceAndInOrder(t *testing.T) {
	const clients, messages = 50, 200
	p := apptest.Start(t, apptest.Options{})
	ada := register(t, p, "ada")
	c := &crowd{p: p, room: chatroom(t, p, "Crowd")}
	web := p.Join(t, c.room, "web")
	g := newGate(t, p)
	d := stockclient.Start(t)

	// Messages are sent while the clients connect, join and, when they already receive messages, change their transport.
	var sent atomic.Int64
	var stop atomic.Bool
	spoken := make(chan error, 1)
	go func() { spoken <- c.speak(ada, web, &sent, &stop) }()
	defer stop.Store(true)
	for i := range clients {
		w, address := ways[i%len(ways)], p.URL
		if w.upgrades {
			address = g.url
		}
		client := d.Open(address, w.options)
		client.Emit("join", obj{"user_id": fmt.Sprint("client", i), "chatroom_id": c.room})
		c.clients = append(c.clients, client)
	}
	apptest.Eventually(t, "all have joined", func() bool { return participants(t, p, c.room) == clients+1 })
	upTo := sent.Load() + messages
	// Those that will change their transport have received a message by then.
	early := make([][]stockclient.Happening, clients)
	for i, client := range c.clients {
		for ways[i%len(ways)].upgrades {
			h := client.Next()
			early[i] = append(early[i], h)
			if h.Kind == "event" && h.Name == "new_message" {
				break
			}
		}
	}
	close(g.opened)
	apptest.Eventually(t, "all is said", func() bool { return sent.Load() >= upTo })
	stop.Store(true)
	require.NoError(t, <-spoken)

	// Each must have received the whole history of the room from the first message that it received.
	var history []posted
	place := map[string]int{}
	for total := 1; len(history) < total; {
		var page struct {
			Messages []json.RawMessage
			Total    int
		}
		p.Get(t, fmt.Sprintf("/messages/chatroom/%s?limit=1000&since=%d", c.room, len(history))).JSON(t, &page)
		require.NotEmpty(t, page.Messages)
		for _, raw := range page.Messages {
			m := posted{Raw: string(raw)}
			require.NoError(t, json.Unmarshal(raw, &m))
			place[m.ID] = len(history)
			history = append(history, m)
		}
		total = page.Total
	}
	require.Greater(t, len(history), messages)
	upgrades, inTheMiddle := 0, 0
	for i, client := range c.clients {
		joined := false
		first, next := -1, -1
		for next < len(history) {
			var h stockclient.Happening
			if len(early[i]) > 0 {
				h, early[i] = early[i][0], early[i][1:]
			} else {
				h = client.Next()
			}
			switch {
			case h.Kind == "connect":
			case h.Kind == "upgrade":
				upgrades++
				if first >= 0 {
					inTheMiddle++
				}
			case h.Kind == "event" && h.Name == "joined":
				joined = true
			case h.Kind == "event" && h.Name == "user_joined":
			case h.Kind == "event" && h.Name == "new_message":
				var m posted
				require.NoError(t, json.Unmarshal(h.Args[0], &m))
				at, ok := place[m.ID]
				if next < 0 {
					first, next = at, at
				}
				// Plain conditions, because there are tens of thousands.
				if !ok || at != next {
					t.Fatalf("client %d was told message %d where %d was due", i, at, next)
				}
				if want := history[at]; m.Text != want.Text || m.UserID != want.UserID || m.Chatroom != want.Chatroom || !m.Created.Equal(want.Created) {
					t.Fatalf("client %d was told %s, and the history has %s", i, h.Args[0], want.Raw)
				}
				next++
			default:
				t.Fatalf("client %d: %+v", i, h)
			}
		}
		require.True(t, joined)
		require.LessOrEqual(t, first, len(history)-messages, "client %d", i)
	}
	t.Logf("%d messages; %d clients upgraded, %d of them after their first message", len(history), upgrades, inTheMiddle)
	require.Positive(t, upgrades)
	require.Equal(t, upgrades, inTheMiddle)

	m := p.Metrics(t)
	require.EqualValues(t, clients, m[`traceroom_connections{transport="socket.io"}`])
	require.EqualValues(t, clients+1, m["traceroom_members"])
	require.Zero(t, m[`traceroom_dropped_total{reason="slow"}`])
	require.Zero(t, m[`traceroom_dropped_total{reason="closed"}`])
	require.EqualValues(t, len(history), m[`traceroom_messages_total{transport="http"}`]+m[`traceroom_messages_total{transport="websocket"}`])
	// Only messages and joins were written.
	require.GreaterOrEqual(t, m[`traceroom_deliveries_total{transport="socket.io"}`], float64(clients*messages))
	require.GreaterOrEqual(t, m[`traceroom_delivery_latency_seconds_count{transport="socket.io"}`], float64(messages))
	require.LessOrEqual(t, m[`traceroom_delivery_latency_seconds_count{transport="socket.io"}`], float64(len(history)))

	// Half of them disconnect, the others are disconnected by the server.
	for _, client := range c.clients[:clients/2] {
		client.Disconnect()
	}
	const goodbye = `traceroom_disconnects_total{reason="client_namespace_disconnect",transport="socket.io"}`
	apptest.Eventually(t, "they are gone", func() bool { return p.Metrics(t)[goodbye] == clients/2 })
	require.EqualValues(t, clients-clients/2, p.Metrics(t)[`traceroom_connections{transport="socket.io"}`])
	p.Stop(t)
	calls := pair(t, p.TraceLog(t))
	for function, want := range map[string]int{
		"connect": clients + 1, "disconnect": clients + 1, "join": clients + 1, "leave": clients + 1,
		"receive": len(history), "append": len(history),
	} {
		require.Equal(t, want, count(calls, function, false), function)
	}
	requireSound(t, p)
}
