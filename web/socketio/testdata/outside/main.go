// Command outside is a chat server on Socket.IO, in a module other than that of the packages that it imports. It prints the
// address that it listens on, and ends when its standard input does.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/traceroom/traceroom/web/socketio"
	"github.com/traceroom/traceroom/web/socketio/engineio"
)

func main() {
	server := socketio.NewServer(socketio.Options{Options: engineio.Options{
		Open: func(r *http.Request) engineio.Opening { return engineio.Opening{Value: r.URL.Query().Get("room")} },
	}})
	chat := server.Of("/")
	chat.OnConnect(func(_ context.Context, s *socketio.Socket) {
		h := s.Handshake()
		s.Data = h.Query.Get("name")
		_ = s.Emit("welcome", s.Data, h.Header.Get("X-Greeting"), s.Session().Value())
	})
	chat.On("say", func(_ context.Context, s *socketio.Socket, ev *socketio.Event) {
		_ = chat.Broadcast("said", s.Data, ev.Args.Raw(0))
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("http://" + l.Addr().String())
	web := &http.Server{Handler: server}
	go func() { _ = web.Serve(l) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		log.Fatal(err)
	}
	if err := web.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}
