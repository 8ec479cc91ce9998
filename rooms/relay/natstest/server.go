// Package natstest runs a real NATS server for tests, in the process of the test, on the loopback interface. It knows
// nothing of what is sent through it.
package natstest

import (
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout is how long NATS may take to start.
const startTimeout = 30 * time.Second

// T is what a Server needs of its test. A testing.TB is one.
type T interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
	TempDir() string
}

// Server is a NATS server with JetStream. URL and Address may be called from any goroutine, the other methods by one at a time.
type Server struct {
	t    T
	dir  string
	port int
	srv  *server.Server
}

// Start runs a server until the end of the test.
func Start(t T) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), port: server.RANDOM_PORT}
	t.Cleanup(s.Stop)
	s.Run()
	return s
}

// Run starts the server, or starts it again on the same port.
func (s *Server) Run() {
	s.t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: s.port, JetStream: true, StoreDir: s.dir, NoLog: true, NoSigs: true,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(startTimeout) {
		s.t.Fatal("NATS does not start")
	}
	s.srv, s.port = srv, srv.Addr().(*net.TCPAddr).Port
}

// Stop ends the server and its connections. Stopping again does nothing.
func (s *Server) Stop() {
	if s.srv != nil {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
		s.srv = nil
	}
}

// Address returns the host and port where the server listens.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL returns the URL of the server.
func (s *Server) URL() string { return "nats://" + s.Address() }
