package socketio_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/traceroom/traceroom/web/socketio"
)

// newChat returns a chat server: whoever connects gives a name, and what one says all are told.
func newChat() *socketio.Server {
	server := socketio.NewServer(socketio.Options{})
	chat := server.Of("/")
	chat.Use(func(_ context.Context, s *socketio.Socket, auth json.RawMessage) error {
		var who struct{ Name string }
		if err := json.Unmarshal(auth, &who); err != nil || who.Name == "" {
			return &socketio.Refusal{Message: "who are you?"}
		}
		s.Data = who.Name
		return nil
	})
	chat.OnConnect(func(_ context.Context, s *socketio.Socket) {
		_ = chat.Broadcast("joined", s.Data)
	})
	chat.OnDisconnect(func(_ context.Context, s *socketio.Socket, why socketio.Reason) {
		_ = chat.Broadcast("left", s.Data, why)
	})
	chat.On("say", func(_ context.Context, s *socketio.Socket, ev *socketio.Event) {
		if err := chat.Broadcast("said", s.Data, ev.Raw(0)); err == nil {
			_ = ev.Ack("thank you")
		}
	})
	return server
}

// A chat server, and what a client of it sends and is sent. A stock client makes these packets by itself.
func Example() {
	chat := newChat()
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", chat)
	web := httptest.NewServer(mux)
	defer web.Close()

	client, _, err := websocket.DefaultDialer.Dial(strings.Replace(web.URL, "http", "ws", 1)+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	send := func(packet string) {
		if err := client.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
			fmt.Println(err)
		}
	}
	receive := func() string {
		_, packet, err := client.ReadMessage()
		if err != nil {
			return err.Error()
		}
		return string(packet)
	}
	receive() // the handshake
	send(`40`)
	fmt.Println(receive())
	send(`40{"name":"Ada"}`)
	fmt.Println(receive()[:len(`40{"sid":`)])
	fmt.Println(receive())
	send(`420["say",{"text":"lovely"}]`)
	fmt.Println(receive())
	fmt.Println(receive())

	go receive() // answers the server's close frame
	if err := chat.Close(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 44{"message":"who are you?"}
	// 40{"sid":
	// 42["joined","Ada"]
	// 42["said","Ada",{"text":"lovely"}]
	// 430["thank you"]
}
