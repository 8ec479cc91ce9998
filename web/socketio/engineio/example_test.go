package engineio_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

// parrot answers each message with itself.
type parrot struct{ session *engineio.Session }

func (p parrot) Message(_ context.Context, data []byte, binary bool) {
	if binary {
		p.session.SendBinary(data)
	} else {
		p.session.Send(data)
	}
}

func (p parrot) Close(_ context.Context, reason engineio.Reason, _ error) {
	fmt.Println("closed:", reason)
}

// An echo server at a path of its own, with a quicker heartbeat than the default.
func Example() {
	server := engineio.NewServer(engineio.Options{
		Path:         "/echo/",
		PingInterval: 5 * time.Second,
		PingTimeout:  2 * time.Second,
	}, func(s *engineio.Session) engineio.Handler { return parrot{s} })
	mux := http.NewServeMux()
	mux.Handle("/echo/", server)
	web := httptest.NewServer(mux)
	defer web.Close()

	client, _, err := websocket.DefaultDialer.Dial(strings.Replace(web.URL, "http", "ws", 1)+"/echo/?EIO=4&transport=websocket", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	if _, open, err := client.ReadMessage(); err == nil {
		_, settings, _ := strings.Cut(string(open), "],")
		fmt.Println(settings)
	}
	if err := client.WriteMessage(websocket.TextMessage, []byte("4hello")); err != nil {
		fmt.Println(err)
	}
	if _, echo, err := client.ReadMessage(); err == nil {
		fmt.Println(string(echo))
	}
	go client.ReadMessage() // answers the server's close frame
	if err := server.Close(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// "pingInterval":5000,"pingTimeout":2000,"maxPayload":1000000}
	// 4hello
	// closed: server shutting down
}
