package web

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// How long these tests wait for a condition, and how often they look.
const (
	patience = 20 * time.Second
	tick     = time.Millisecond
)

// The operator's limit is one for all transports: whoever comes when the places are taken is refused in the words of the
// transport, and any place that becomes free can be taken by either.
func TestTheLimitOfConnectionsIsForAllTransportsTogether(t *testing.T) {
	limits := DefaultLimits
	limits.Connections = 2
	d := serveDocumented(t, limits, 100, nil)
	socketIO := func() (int, string) {
		r, err := http.Get(d.url + "/socket.io/?EIO=4&transport=polling")
		require.NoError(t, err)
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		return r.StatusCode, string(body)
	}
	socket := func() (*websocket.Conn, *http.Response) {
		conn, r, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(d.url, "http")+"/ws/general/ada", nil)
		if err != nil {
			require.ErrorIs(t, err, websocket.ErrBadHandshake)
		}
		return conn, r
	}
	conn, _ := socket()
	require.NotNil(t, conn)
	status, opened := socketIO()
	require.Equal(t, http.StatusOK, status)

	status, body := socketIO()
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"code":4,"message":"Service unavailable"}`, body)
	refused, r := socket()
	require.Nil(t, refused)
	require.Equal(t, http.StatusServiceUnavailable, r.StatusCode)
	require.Equal(t, "application/problem+json", r.Header.Get("Content-Type"))

	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool { status, _ := socketIO(); return status == http.StatusOK }, patience, tick, "the WebSocket's place")
	_, sid, _ := strings.Cut(opened, `"sid":"`)
	sid, _, _ = strings.Cut(sid, `"`)
	r, err := http.Post(d.url+"/socket.io/?EIO=4&transport=polling&sid="+sid, "text/plain", strings.NewReader("1"))
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Eventually(t, func() bool { conn, _ = socket(); return conn != nil }, patience, tick, "the Socket.IO client's place")
	require.NoError(t, conn.Close())
}

// The history comes first and always, so that a client can tell an empty room from one whose history is on its way.
func TestInAnEmptyRoomTheHistoryIsEmpty(t *testing.T) {
	d := serveDocumented(t, DefaultLimits, 100, nil)
	room, err := d.cfg.Service.Room(t.Context(), "general")
	require.NoError(t, err)
	for _, query := range []string{"", "?since=0"} {
		conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(d.url, "http")+"/ws/general/ada"+query, nil)
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
		_, frame, err := conn.ReadMessage()
		require.NoError(t, err)
		require.JSONEq(t, `{"type":"history","room_id":"general","messages":[],"epoch":"`+room.Epoch+`"}`, string(frame))
		require.NoError(t, conn.Close())
	}
}
