package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/store/pgtest"
	"github.com/traceroom/traceroom/rooms/store/storetest"
)

// exchange is a request on its way. answered receives when PostgreSQL has sent something in answer, and is closed when it
// cannot any more.
type exchange struct {
	request        []byte
	client, server net.Conn
	answered       <-chan struct{}
}

// proxy stands between a store and PostgreSQL, and lets one append, which it knows by its text, fail as a network can.
type proxy struct {
	listener net.Listener
	server   string
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	marker []byte
	harm   func(e exchange) // once, instead of passing the request and its answer on
}

func newProxy(t *testing.T, server string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, server: server, conns: make(map[net.Conn]bool)}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		var muted atomic.Bool
		answered := make(chan struct{}, 1)
		p.running.Go(func() { p.requests(client, server, &muted, answered) })
		p.running.Go(func() {
			defer close(answered)
			defer client.Close()
			buf := make([]byte, 1<<16)
			for {
				n, err := server.Read(buf)
				if err != nil {
					return
				}
				if muted.Load() {
					select {
					case answered <- struct{}{}:
					default:
					}
					continue
				}
				if _, err := client.Write(buf[:n]); err != nil {
					return
				}
			}
		})
	}
}

func (p *proxy) requests(client, server net.Conn, muted *atomic.Bool, answered chan struct{}) {
	defer server.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if n == 16 && bytes.Equal(buf[4:8], []byte{0x04, 0xd2, 0x16, 0x2e}) {
			return // a CancelRequest; a network that loses connections may lose it as well
		}
		p.mu.Lock()
		var harm func(exchange)
		if p.harm != nil && bytes.Contains(buf[:n], p.marker) {
			harm, p.harm = p.harm, nil
		}
		p.mu.Unlock()
		if harm != nil {
			muted.Store(true)
			harm(exchange{buf[:n], client, server, answered})
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) harmAppend(text string, harm func(exchange)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marker, p.harm = []byte(text), harm
}

// via returns url with the address of the proxy.
func (p *proxy) via(url string) string {
	return strings.Replace(url, p.server, p.listener.Addr().String(), 1)
}

// TestPostgresLostAnswer loses the connection during an append, at each moment that makes a difference.
// The append must return the truth, and its messages must be stored once.
func TestPostgresLostAnswer(t *testing.T) {
	server := pgtest.Start(t)
	var url string
	query := func(t *testing.T, sql string, want int) {
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		defer conn.Close(context.WithoutCancel(t.Context()))
		require.Eventually(t, func() bool {
			var n int
			require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&n))
			return n == want
		}, waitFor, tick, sql)
	}
	const waiters = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`

	for name, test := range map[string]func(t *testing.T, p *proxy) (after func()){
		"the request is lost": func(t *testing.T, p *proxy) func() {
			p.harmAppend("mark", func(e exchange) { _ = e.client.Close() })
			return func() {}
		},
		"the answer is lost": func(t *testing.T, p *proxy) func() {
			p.harmAppend("mark", func(e exchange) {
				_, _ = e.server.Write(e.request)
				<-e.answered
				_ = e.client.Close()
			})
			return func() {}
		},
		"the request is late": func(t *testing.T, p *proxy) func() {
			repeated, done := make(chan struct{}), make(chan struct{})
			p.harmAppend("mark", func(e exchange) {
				defer close(done)
				_ = e.client.Close()
				<-repeated
				_, _ = e.server.Write(e.request)
				<-e.answered
			})
			return func() {
				close(repeated)
				<-done
			}
		},
		"the request waits for another node": func(t *testing.T, p *proxy) func() {
			conn, err := pgx.Connect(t.Context(), url)
			require.NoError(t, err)
			tx, err := conn.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), `SELECT FROM rooms FOR UPDATE`)
			require.NoError(t, err)
			p.harmAppend("mark", func(e exchange) {
				_, _ = e.server.Write(e.request)
				query(t, waiters, 1)
				_ = e.client.Close()
				query(t, waiters, 2) // the append, and its repetition
				_ = tx.Commit(context.Background())
				_ = conn.Close(context.Background())
				<-e.answered
			})
			return func() {}
		},
	} {
		t.Run(name, func(t *testing.T) {
			url = server.Database(t)
			p := newProxy(t, server.Address())
			s := open(t, p.via(url))
			storetest.CreateRoom(t, s, "a")
			storetest.CreateRoom(t, s, "b")
			require.EqualValues(t, 1, storetest.Append(t, s, "a", "before")[0].Seq)
			after := test(t, p)
			require.EqualValues(t, 3, storetest.Append(t, s, "a", "mark", "and more")[1].Seq)
			after()
			require.EqualValues(t, 4, storetest.Append(t, s, "a", "after")[0].Seq)
			var texts []string
			for i, m := range storetest.All(t, s, "a") {
				require.EqualValues(t, i+1, m.Seq)
				texts = append(texts, m.Text)
			}
			require.Equal(t, []string{"before", "mark", "and more", "after"}, texts)
			room, err := s.Room(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, 4, room.Messages)
			require.NoError(t, s.Close())
		})
	}
}

// TestPostgresOutages stops and crashes PostgreSQL while others write. What was acknowledged must be stored, once and in
// order; what was refused must not be; and the store must recover by itself.
func TestPostgresOutages(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database(t)
	s := open(t, url)
	const count = 16
	acknowledged := make([]map[string]bool, count)
	doubtful := make([]map[string]bool, count)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	progress := make(chan struct{}, count)
	for r := range count {
		id := fmt.Sprint("room", r)
		storetest.CreateRoom(t, s, id)
		acknowledged[r], doubtful[r] = make(map[string]bool), make(map[string]bool)
		wg.Go(func() {
			for ctx.Err() == nil {
				m := storetest.NewMessage(id, "x")
				begin := time.Now()
				err := s.Append(context.Background(), id, []rooms.Draft{{Ctx: ctx, Message: m}})
				if took := time.Since(begin); took > 2*postgresTimeout+time.Second {
					t.Errorf("append took %v", took)
				}
				switch {
				case err == nil:
					acknowledged[r][m.ID] = true
					select {
					case progress <- struct{}{}:
					default:
					}
				case errors.Is(err, errUnknown):
					doubtful[r][m.ID] = true
				default:
					select { // as a client would
					case <-ctx.Done():
					case <-time.After(10 * time.Millisecond):
					}
				}
			}
		})
	}
	some := func() {
		for range 200 {
			<-progress
		}
	}
	some()
	for _, end := range []func(){server.Stop, server.Crash, server.Stop} {
		end()
		begin := time.Now()
		require.Error(t, s.Ping(t.Context()))
		_, err := s.Rooms(t.Context())
		require.Error(t, err)
		require.Less(t, time.Since(begin), 2*postgresTimeout+time.Second)
		server.Run()
		some()
	}
	require.NoError(t, s.Ping(t.Context()))
	cancel()
	wg.Wait()
	for r := range count {
		all := storetest.All(t, s, fmt.Sprint("room", r))
		found := make(map[string]bool)
		for i, m := range all {
			require.EqualValues(t, i+1, m.Seq)
			require.False(t, found[m.ID], "stored twice")
			found[m.ID] = true
			require.True(t, acknowledged[r][m.ID] || doubtful[r][m.ID], "stored, but refused")
		}
		for id := range acknowledged[r] {
			require.True(t, found[id], "acknowledged, but not stored")
		}
	}
	require.NoError(t, s.Close())
}

// TestPostgresSilence has PostgreSQL take an append and not answer.
func TestPostgresSilence(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database(t)
	s := open(t, url)
	storetest.CreateRoom(t, s, "a")
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM rooms FOR UPDATE`)
	require.NoError(t, err)

	begin := time.Now()
	m := storetest.NewMessage("a", "x")
	require.ErrorIs(t, s.Append(t.Context(), "a", []rooms.Draft{{Message: m}}), errUnknown)
	require.WithinRange(t, time.Now(), begin.Add(attemptTimeout), begin.Add(postgresTimeout+2*time.Second))

	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, conn.Close(t.Context()))
	stored := len(storetest.All(t, s, "a"))
	require.EqualValues(t, stored+1, storetest.Append(t, s, "a", "y")[0].Seq)
	require.NoError(t, s.Close())
}

func TestPostgresOpen(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database(t)
	begin := time.Now()
	_, err := Open(t.Context(), server.URL("nowhere"), Options{Wait: time.Hour})
	require.ErrorContains(t, err, `database "nowhere" does not exist`)
	require.NotContains(t, err.Error(), "\n")
	require.Less(t, time.Since(begin), waitFor)

	server.Stop()
	_, err = Open(t.Context(), url, Options{Wait: 300 * time.Millisecond})
	require.ErrorContains(t, err, "PostgreSQL at "+server.Address()+" cannot be reached")
	require.NotContains(t, err.Error(), "\n")

	opened := make(chan error, 3)
	for range cap(opened) { // they also migrate at once
		go func() {
			s, err := Open(t.Context(), url, Options{Wait: time.Minute})
			if err == nil {
				err = s.Close()
			}
			opened <- err
		}()
	}
	server.Run()
	for range cap(opened) {
		require.NoError(t, <-opened)
	}
}
