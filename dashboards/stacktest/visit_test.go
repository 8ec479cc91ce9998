package stacktest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// visit does everything once: makes a room, has two people in it of whom one says something, and deletes it under them.
// It returns the id of the message's trace, as the other was told it.
func visit(t *testing.T, chat string) string {
	call := func(method, path string, status int) {
		req, err := http.NewRequest(method, chat+path, nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		_ = resp.Body.Close()
		require.Equal(t, status, resp.StatusCode, "%s %s", method, path)
	}
	call(http.MethodPost, "/rooms?room_id=kitchen&name=Kitchen", http.StatusCreated)
	call(http.MethodGet, "/rooms", http.StatusOK)
	call(http.MethodGet, "/rooms/kitchen", http.StatusOK)

	ada, ben := enter(t, chat, "kitchen", "ada"), enter(t, chat, "kitchen", "ben")
	require.NoError(t, ada.WriteJSON(map[string]string{"type": "typing"}))
	require.NoError(t, ada.WriteJSON(map[string]string{"type": "message", "text": "is there any coffee?", "ref": "1"}))
	heard := until(t, ben, "message")
	until(t, ada, "message")
	// Leaves by itself, while the other is sent away.
	require.NoError(t, ben.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")))
	until(t, ada, "user_left")
	call(http.MethodDelete, "/rooms/kitchen", http.StatusOK)
	until(t, ada, "room_deleted")

	parts := strings.Split(heard["traceparent"].(string), "-")
	require.Len(t, parts, 4)
	return parts[1]
}

func enter(t *testing.T, chat, room, client string) *websocket.Conn {
	ws, resp, err := websocket.DefaultDialer.Dial(strings.Replace(chat, "http", "ws", 1)+"/ws/"+room+"/"+client, nil)
	require.NoError(t, err)
	_ = resp.Body.Close()
	t.Cleanup(func() { _ = ws.Close() })
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(10*time.Second)))
	return ws
}

// until reads frames up to one of a type.
func until(t *testing.T, ws *websocket.Conn, kind string) map[string]any {
	for {
		var frame map[string]any
		require.NoError(t, ws.ReadJSON(&frame), "waiting for %s", kind)
		if frame["type"] == kind {
			return frame
		}
	}
}
