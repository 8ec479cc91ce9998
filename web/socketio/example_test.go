package socketio_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/traceroom/traceroom/web/socketio"
)

// A guest book: whoever signs it is told so, and so are all who look at it.
func Example() {
	server := socketio.NewServer(socketio.Options{})

	var mu sync.Mutex
	readers := map[*socketio.Socket]bool{}

	book := server.Of("/book")
	book.Use(func(_ context.Context, s *socketio.Socket, auth json.RawMessage) error {
		var who struct{ Name string }
		if err := json.Unmarshal(auth, &who); err != nil || who.Name == "" {
			return &socketio.Refusal{Message: "who are you?"}
		}
		s.Data = who.Name
		return nil
	})
	book.OnConnect(func(_ context.Context, s *socketio.Socket) {
		mu.Lock()
		defer mu.Unlock()
		readers[s] = true
	})
	book.OnDisconnect(func(_ context.Context, s *socketio.Socket, _ socketio.Reason) {
		mu.Lock()
		defer mu.Unlock()
		delete(readers, s)
	})
	book.On("sign", func(_ context.Context, s *socketio.Socket, ev *socketio.Event) {
		// Encoded once for all; the argument is passed on as it came.
		entry, err := socketio.Encode("/book", "entry", s.Data, ev.Raw(0))
		if err != nil {
			return
		}
		mu.Lock()
		for reader := range readers {
			if !reader.Push(entry) {
				reader.Disconnect(true) // it does not read what it is sent
			}
		}
		mu.Unlock()
		if err := ev.Ack("thank you"); err != nil {
			fmt.Println(err)
		}
	})

	mux := http.NewServeMux()
	mux.Handle("/socket.io/", server)
	web := httptest.NewServer(mux)
	defer web.Close()

	// A stock client would do this by itself.
	client, _, err := websocket.DefaultDialer.Dial(strings.Replace(web.URL, "http", "ws", 1)+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	say := func(packet string) {
		if err := client.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
			fmt.Println(err)
		}
	}
	hear := func() string {
		_, packet, err := client.ReadMessage()
		if err != nil {
			return err.Error()
		}
		return string(packet)
	}
	hear() // the handshake
	say(`40/book,`)
	fmt.Println(hear())
	say(`40/book,{"name":"Ada"}`)
	fmt.Println(hear()[:len(`40/book,{"sid":`)])
	say(`42/book,0["sign",{"text":"lovely"}]`)
	fmt.Println(hear())
	fmt.Println(hear())

	go hear() // answers the server's close frame
	if err := server.Close(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 44/book,{"message":"who are you?"}
	// 40/book,{"sid":
	// 42/book,["entry","Ada",{"text":"lovely"}]
	// 43/book,0["thank you"]
}
