package wstest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
)

// Pipes is a listener for connections within the process, which can be used in a bubble of testing/synctest.
type Pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// ServeOnPipes starts a server that only its own Client and Dial reach.
func ServeOnPipes(h http.Handler) (*httptest.Server, *Pipes) {
	p := &Pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &httptest.Server{Listener: p, Config: &http.Server{Handler: h}}
	srv.Start()
	srv.Client().Transport.(*http.Transport).DialContext = p.Dial
	return srv, p
}

// Accept implements net.Listener.
func (p *Pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *Pipes) Close() error { p.once.Do(func() { close(p.done) }); return nil }

// Addr implements net.Listener.
func (p *Pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// Dial connects to the server, whatever the address.
func (p *Pipes) Dial(context.Context, string, string) (net.Conn, error) {
	server, client := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
