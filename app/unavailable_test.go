package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/rooms/store/pgtest"
	"github.com/traceroom/traceroom/web/socketio/stockclient"
)

// While the database is down, posted messages are refused and delivered to nobody; when it is back, everything works again.
func TestWhatCannotBeSavedIsNotEmitted(t *testing.T) {
	db := pgtest.Start(t)
	collector := apptest.NewCollector(t)
	p := apptest.Start(t, apptest.Options{Env: append(collector.Env(), "DATABASE_URL="+db.Database(t))})
	d := stockclient.Start(t)
	ada, room := register(t, p, "ada"), chatroom(t, p, "Readers")
	web := p.Join(t, room, "web")
	var members []*stockclient.Client
	for _, w := range ways {
		c, _ := open(d, p, w)
		join(t, c, ada, room)
		members = append(members, c)
	}
	web.UntilType(t, "user_joined")
	body := obj{"message_text": "hello", "user_id": ada, "chatroom_id": room}
	m := post(t, p, body)
	for _, c := range members {
		require.JSONEq(t, m.Raw, hearsAtLast(t, c, "new_message"))
	}
	web.UntilText(t, "hello")
	before := p.Metrics(t)

	db.Stop()
	for range 3 {
		refused := requireProblem(t, http.StatusServiceUnavailable, p.PostJSON(t, "/messages/", body))
		require.NotContains(t, refused.Detail, "postgres", "nothing of the server's inside is shown")
		require.NotContains(t, refused.Detail, "127.0.0.1")
	}
	requireProblem(t, http.StatusServiceUnavailable, p.PostJSON(t, "/users", obj{"name": "Bob", "handle": "bob"}))
	require.Equal(t, http.StatusServiceUnavailable, p.Get(t, "/health").Status)
	apptest.Eventually(t, "it is not ready", func() bool { return p.Get(t, "/readyz").Status == http.StatusServiceUnavailable })
	require.JSONEq(t, `{"status":"unavailable","failing":"store"}`, p.Get(t, "/readyz").Body)
	web.Send(t, apptest.Message{Type: "message", Text: "and over WebSocket", Ref: "r"})
	f := web.Next(t)
	require.Equal(t, "error", f.Type, f.Raw)
	require.Equal(t, "unavailable", f.Code)
	require.Equal(t, "r", f.Ref)
	m1 := p.Metrics(t)
	for _, series := range []string{
		`traceroom_messages_total{transport="http"}`, `traceroom_messages_total{transport="websocket"}`,
		`traceroom_deliveries_total{transport="socket.io"}`, `traceroom_deliveries_total{transport="websocket"}`,
		`traceroom_operation_duration_seconds_count{operation="broadcast",outcome="ok"}`,
	} {
		require.Equal(t, before[series], m1[series], series)
	}
	require.Positive(t, m1[`traceroom_operation_duration_seconds_count{operation="receive",outcome="error"}`])
	failed := collector.Wait(t, "the receive that failed", func(s apptest.Span) bool { return s.Name == "receive room/{room}" && s.Failed })
	require.Equal(t, "unavailable", failed.Attrs["error.type"])

	db.Run()
	apptest.Eventually(t, "it is healthy again", func() bool { return p.Get(t, "/health").Status == http.StatusOK })
	apptest.Eventually(t, "it is ready again", func() bool { return p.Get(t, "/readyz").Status == http.StatusOK })
	again := post(t, p, body)
	for _, c := range members {
		hearsOf(t, c, again) // and nothing before it
	}
	f = web.Next(t)
	require.Equal(t, again.ID, f.ID)
	require.EqualValues(t, 2, f.Seq)
	require.Contains(t, p.Get(t, "/messages/chatroom/"+room).Body, `"total":2`)
	p.Stop(t)
	require.Equal(t, 1, strings.Count(p.Stderr(), `"draining"`))
	requireSound(t, p)
}
