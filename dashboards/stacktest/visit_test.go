package stacktest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// visit does everything once: it creates a room with two members, one of whom sends a message, has a third join over Socket.IO
// and a fourth post over HTTP, and deletes the room. It returns the message's trace id as the other member got it.
func visit(t *testing.T, chat string) string {
	call := func(method, path string, status int, body ...string) (answer struct{ ID string }) {
		req, err := http.NewRequest(method, chat+path, strings.NewReader(strings.Join(body, "")))
		require.NoError(t, err)
		if len(body) > 0 {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, status, resp.StatusCode, "%s %s", method, path)
		_ = json.NewDecoder(resp.Body).Decode(&answer) // lists have no id
		return answer
	}
	call(http.MethodPost, "/rooms?room_id=kitchen&name=Kitchen", http.StatusCreated)
	call(http.MethodGet, "/rooms", http.StatusOK)
	call(http.MethodGet, "/rooms/kitchen", http.StatusOK)

	ada, ben := enter(t, chat, "kitchen", "ada"), enter(t, chat, "kitchen", "ben")
	require.NoError(t, ada.WriteJSON(map[string]string{"type": "typing"}))
	require.NoError(t, ada.WriteJSON(map[string]string{"type": "message", "text": "is there any coffee?", "ref": "1"}))
	heard := until(t, ben, "message")
	until(t, ada, "message")
	call(http.MethodGet, "/rooms/kitchen/messages", http.StatusOK)

	eve := enterSocketIO(t, chat, "kitchen", "eve")
	user := call(http.MethodPost, "/users", http.StatusCreated, `{"name":"Dan","handle":"dan"}`)
	call(http.MethodGet, "/users", http.StatusOK)
	call(http.MethodGet, "/users/"+user.ID, http.StatusOK)
	chatroom := call(http.MethodPost, "/chatrooms", http.StatusCreated, `{"name":"Pantry"}`)
	call(http.MethodGet, "/chatrooms", http.StatusOK)
	call(http.MethodGet, "/chatrooms/"+chatroom.ID, http.StatusOK)
	posted := call(http.MethodPost, "/messages", http.StatusCreated, `{"message_text":"in the pantry","user_id":"`+user.ID+`","chatroom_id":"kitchen"}`)
	untilPacket(t, eve, `42["new_message"`)
	call(http.MethodGet, "/messages/"+posted.ID, http.StatusOK)
	call(http.MethodGet, "/messages/chatroom/kitchen", http.StatusOK)
	call(http.MethodDelete, "/messages/"+posted.ID, http.StatusOK)
	call(http.MethodDelete, "/users/"+user.ID, http.StatusOK)
	call(http.MethodDelete, "/chatrooms/"+chatroom.ID, http.StatusOK)

	// One leaves by itself; the other is disconnected.
	require.NoError(t, ben.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")))
	until(t, ada, "user_left")
	call(http.MethodDelete, "/rooms/kitchen", http.StatusOK)
	until(t, ada, "room_deleted")

	parts := strings.Split(heard["traceparent"].(string), "-")
	require.Len(t, parts, 4)
	return parts[1]
}

// enterSocketIO joins a room over Socket.IO's WebSocket transport.
func enterSocketIO(t *testing.T, chat, room, client string) *websocket.Conn {
	ws, resp, err := websocket.DefaultDialer.Dial(strings.Replace(chat, "http", "ws", 1)+"/socket.io/?EIO=4&transport=websocket", nil)
	require.NoError(t, err)
	_ = resp.Body.Close()
	t.Cleanup(func() { _ = ws.Close() })
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(30*time.Second)))
	require.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte("40")))
	untilPacket(t, ws, "40{")
	join := `42["join",{"user_id":"` + client + `","chatroom_id":"` + room + `"}]`
	require.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(join)))
	untilPacket(t, ws, `42["joined"`)
	return ws
}

// untilPacket reads packets up to one with this prefix.
func untilPacket(t *testing.T, ws *websocket.Conn, prefix string) {
	for {
		_, p, err := ws.ReadMessage()
		require.NoError(t, err, "waiting for %s", prefix)
		if strings.HasPrefix(string(p), prefix) {
			return
		}
	}
}

// enter joins a room over a WebSocket. It returns when the client is in it: what is said from then on comes as a message.
func enter(t *testing.T, chat, room, client string) *websocket.Conn {
	ws, resp, err := websocket.DefaultDialer.Dial(strings.Replace(chat, "http", "ws", 1)+"/ws/"+room+"/"+client, nil)
	require.NoError(t, err)
	_ = resp.Body.Close()
	t.Cleanup(func() { _ = ws.Close() })
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(30*time.Second)))
	for until(t, ws, "history")["more"] == true {
	}
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
