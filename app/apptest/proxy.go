package apptest

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxy is a TCP proxy between a program and a server, which it can cut off from each other. Its methods may be called from any
// goroutine.
//
// mu guards the fields below it. Each connection has goroutines that end with it.
type Proxy struct {
	listener net.Listener
	target   string
	copying  sync.WaitGroup

	mu    sync.Mutex
	cond  *sync.Cond
	cut   bool
	ended bool
	conns map[net.Conn]struct{}
}

// NewProxy starts a proxy to target, HOST:PORT, that runs until the end of the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &Proxy{listener: l, target: target, conns: make(map[net.Conn]struct{})}
	p.cond = sync.NewCond(&p.mu)
	p.copying.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.ended = true
		for c := range p.conns {
			_ = c.Close()
		}
		p.cond.Broadcast()
		p.mu.Unlock()
		p.copying.Wait()
	})
	return p
}

// Addr returns the HOST:PORT that the proxy listens on.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Cut stops all data in both directions. Connections stay open.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
}

// Heal lets data pass again, including what was held back.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
	p.cond.Broadcast()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.copying.Go(func() {
			defer func() { _ = client.Close() }()
			if !p.pass(client) {
				return
			}
			defer p.forget(client)
			server, err := net.Dial("tcp", p.target)
			if err != nil {
				return
			}
			defer func() { _ = server.Close() }()
			if !p.pass(server) {
				return
			}
			defer p.forget(server)
			var both sync.WaitGroup
			both.Go(func() { p.copy(server, client) })
			both.Go(func() { p.copy(client, server) })
			both.Wait()
		})
	}
}

// pass waits while the proxy is cut and then registers c. It reports false at the end of the test.
func (p *Proxy) pass(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.cut && !p.ended {
		p.cond.Wait()
	}
	p.conns[c] = struct{}{}
	return !p.ended
}

func (p *Proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// copy copies until either side ends, and then closes both.
func (p *Proxy) copy(to, from net.Conn) {
	defer func() { _ = to.Close(); _ = from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		for p.cut && !p.ended {
			p.cond.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
