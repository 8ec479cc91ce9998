package engineio_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

// pipes is a listener of connections within the process: in a bubble of synctest they keep its time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	server, client := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// inBubble runs a test in a bubble: time passes only while everything waits.
func inBubble(t *testing.T, opts engineio.Options, test func(t *testing.T, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		h := newHost(t, opts)
		h.http = &httptest.Server{Listener: p, Config: &http.Server{Handler: h.eio}}
		h.http.Start()
		h.http.Client().Transport.(*http.Transport).DialContext = p.dial
		h.dialer.NetDialContext = p.dial
		defer h.stop()
		test(t, h)
	})
}
