package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/web/socketio/stockclient"
)

// Clients that stop polling or reading but stay connected are disconnected when their queues are full. Nobody else waits for them
// or misses anything.
func TestSlowSocketIOClientsAreDroppedAndNobodyNotices(t *testing.T) {
	p := apptest.Start(t, apptest.Options{Args: []string{"--queue-length", "64"}})
	ada := register(t, p, "ada")
	watcher := p.Join(t, "lobby", "watcher")
	quick, stuck := stockclient.Start(t), stockclient.Start(t)
	var heard, slow []*stockclient.Client
	for _, w := range ways {
		c, _ := open(quick, p, w)
		join(t, c, "quick-"+w.name, "lobby")
		heard = append(heard, c)
		w.options = w.with(stockclient.Options{"reconnectionDelay": 50, "reconnectionDelayMax": 200})
		c, _ = open(stuck, p, w)
		join(t, c, "slow-"+w.name, "lobby")
		slow = append(slow, c)
	}
	require.Equal(t, 7, participants(t, p, "lobby"))
	stuck.Suspend()

	text := strings.Repeat("👋", 4000)
	sent := 0
	m := p.Metrics(t)
	for m[`traceroom_disconnects_total{reason="too_slow",transport="socket.io"}`] < 3 {
		for range 20 {
			sent++
			post(t, p, obj{"message_text": fmt.Sprint(text, sent), "user_id": ada, "chatroom_id": "lobby"})
		}
		watcher.UntilText(t, fmt.Sprint(text, sent))
		for _, c := range heard {
			for n := sent - 19; n <= sent; {
				if name, data := hear(t, c); name == "new_message" {
					require.Contains(t, data[:min(len(data), 17000)], fmt.Sprintf(`👋%d"`, n), "in order, and none is missing")
					n++
				}
			}
		}
		require.Less(t, sent, 5000, "the queues do not fill")
		m = p.Metrics(t)
	}
	gone := map[string]bool{}
	for _, f := range watcher.Frames() {
		if f.Type == "user_left" {
			gone[f.ClientID] = true
		}
	}
	for len(gone) < 3 {
		_, f := watcher.UntilType(t, "user_left")
		gone[f.ClientID] = true
	}
	require.Equal(t, map[string]bool{"slow-polling": true, "slow-websocket": true, "slow-upgrade": true}, gone)
	require.Equal(t, 4, participants(t, p, "lobby"))
	require.EqualValues(t, 3, m[`traceroom_dropped_total{reason="slow"}`])
	require.Positive(t, m[`traceroom_dropped_total{reason="closed"}`], "what waited for them is lost")
	require.EqualValues(t, 3, m[`traceroom_connections{transport="socket.io"}`])

	// When they go on they find themselves disconnected, and reconnect.
	stuck.Resume()
	for _, c := range slow {
		c.Await("disconnect")
		c.Await("connect")
		c.Emit("join", obj{"user_id": "back", "chatroom_id": "lobby"})
		require.JSONEq(t, `{"chatroom_id":"lobby"}`, hearsAtLast(t, c, "joined"))
	}
	last := post(t, p, obj{"message_text": "last", "user_id": ada, "chatroom_id": "lobby"})
	for _, c := range append(heard, slow...) {
		require.JSONEq(t, last.Raw, hearsAtLast(t, c, "new_message"))
	}
}
