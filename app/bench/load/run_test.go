//go:build linux

package load_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/traceroom/traceroom/app/bench/floor"
	"github.com/traceroom/traceroom/app/bench/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// crowd is a chat server of one room, all of whose members see one order, unless deliver has it otherwise.
type crowd struct {
	upgrader websocket.Upgrader
	// deliver hands text, the n-th message, to member m; nil writes it.
	deliver func(c *websocket.Conn, m, n int, text []byte)

	mu    sync.Mutex
	conns []*websocket.Conn
	n     int
	reads sync.WaitGroup
}

func (s *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	s.reads.Go(func() {
		defer c.Close()
		for {
			_, text, err := c.ReadMessage()
			if err != nil {
				return
			}
			s.mu.Lock()
			// Those that only ask who is there are passed on as they are.
			sync := strings.HasPrefix(string(text), "~ffff")
			for m, c := range s.conns {
				if s.deliver == nil || sync {
					_ = c.WriteMessage(websocket.TextMessage, text)
				} else {
					s.deliver(c, m, s.n, slices.Clone(text))
				}
			}
			if !sync {
				s.n++
			}
			s.mu.Unlock()
		}
	})
}

// start serves h and returns its host:port.
func start(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.Close()
		if c, ok := h.(*crowd); ok {
			c.reads.Wait()
		}
	})
	return strings.TrimPrefix(srv.URL, "http://")
}

// plan is a short closed loop against addr.
func plan(addr string) load.Plan {
	return load.Plan{Do: "fanout", Addr: addr, ServerPID: os.Getpid(), Rooms: 1, Members: 5, Dialect: load.Bare, Dialers: 3,
		Senders: 2, Inflight: 4, Ack: load.AckEcho, Messages: 2000, Measure: 20 * time.Second}
}

func run(t *testing.T, p load.Plan) load.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	res, err := load.Run(ctx, p)
	require.NoError(t, err)
	return res
}

func TestAServerThatDeliversAllIsFoundToDoSo(t *testing.T) {
	for name, change := range map[string]func(*load.Plan){
		"echo":        func(*load.Plan) {},
		"all":         func(p *load.Plan) { p.Ack = load.AckAll },
		"one member":  func(p *load.Plan) { p.Members, p.Senders = 1, 1 },
		"without end": func(p *load.Plan) { p.Messages, p.Warmup, p.Measure = 0, 100*time.Millisecond, 200*time.Millisecond },
		"spinning":    func(p *load.Plan) { p.Spin = true },
	} {
		t.Run(name, func(t *testing.T) {
			p := plan(start(t, floor.New()))
			change(&p)
			res := run(t, p)
			require.Greater(t, res.Sent, int64(100))
			require.Equal(t, res.Sent*int64(p.Members), res.Delivered)
			require.Zero(t, res.Lost)
			require.Zero(t, res.Misplaced+res.Damaged+res.Closed)
			require.InEpsilon(t, res.Messages*int64(p.Members), res.Deliveries, 0.2) // some are on their way when the window begins and ends
			require.Positive(t, res.ServerCPU)
			require.Greater(t, res.Bytes, res.Deliveries*64)
		})
	}
}

func TestMessagesThatComeTogetherOrInPiecesAreAllCounted(t *testing.T) {
	held := make(map[int][]byte) // by member
	srv := &crowd{}
	srv.deliver = func(c *websocket.Conn, m, n int, text []byte) {
		held[m] = append(append(held[m], text...), '\n')
		if n%2 == 0 {
			return
		}
		w, err := c.NextWriter(websocket.TextMessage) // its buffer is small, so that this becomes several frames
		if err == nil {
			_, _ = w.Write(held[m])
			_ = w.Close()
		}
		held[m] = nil
	}
	srv.upgrader.WriteBufferSize = 50
	res := run(t, plan(start(t, srv)))
	single := res.Sent % 2 * 5 // a last one without a second is still held
	require.Equal(t, res.Sent*5-single, res.Delivered)
	require.Equal(t, single, res.Lost)
	require.Zero(t, res.Misplaced+res.Damaged+res.Closed)
}

func TestWhatAServerDoesWrongIsSeen(t *testing.T) {
	write := func(c *websocket.Conn, text []byte) { _ = c.WriteMessage(websocket.TextMessage, text) }
	var held []byte
	for name, tc := range map[string]struct {
		deliver func(c *websocket.Conn, m, n int, text []byte)
		check   func(t *testing.T, r load.Result)
	}{
		"a message lost by one": {
			func(c *websocket.Conn, m, n int, text []byte) {
				if m != 4 || n%100 != 50 {
					write(c, text)
				}
			},
			func(t *testing.T, r load.Result) { require.Equal(t, (r.Sent+49)/100, r.Lost) },
		},
		"the last message lost by all": {
			func(c *websocket.Conn, m, n int, text []byte) {
				if n < 1999 {
					write(c, text)
				}
			},
			func(t *testing.T, r load.Result) {
				require.EqualValues(t, (r.Sent-1999)*5, r.Lost)
				require.Positive(t, r.Lost)
			},
		},
		"a message twice": {
			func(c *websocket.Conn, m, n int, text []byte) {
				write(c, text)
				if m == 2 && n == 10 {
					write(c, text)
				}
			},
			func(t *testing.T, r load.Result) { require.EqualValues(t, 1, r.Misplaced); require.Zero(t, r.Lost) },
		},
		"another order": {
			func(c *websocket.Conn, m, n int, text []byte) {
				switch {
				case m == 3 && n == 10:
					held = text
				case m == 3 && n == 11:
					write(c, text)
					write(c, held)
				default:
					write(c, text)
				}
			},
			func(t *testing.T, r load.Result) { require.Positive(t, r.Misplaced) },
		},
		"a damaged text": {
			func(c *websocket.Conn, m, n int, text []byte) {
				if m == 1 && n == 7 {
					text[40] ^= 1
				}
				write(c, text)
			},
			func(t *testing.T, r load.Result) {
				require.EqualValues(t, 1, r.Damaged)
				require.EqualValues(t, 1, r.Lost)
			},
		},
		"another room's message": {
			func(c *websocket.Conn, m, n int, text []byte) {
				write(c, text)
				if m == 1 && n == 7 {
					text[4] = '5'
					write(c, text)
				}
			},
			func(t *testing.T, r load.Result) { require.EqualValues(t, 1, r.Damaged); require.Zero(t, r.Lost) },
		},
		"a member dropped": {
			func(c *websocket.Conn, m, n int, text []byte) {
				if m == 4 && n == 50 {
					_ = c.Close()
				}
				write(c, text)
			},
			func(t *testing.T, r load.Result) {
				require.EqualValues(t, 1, r.Closed)
				// What was on its way when the connection was reset may be lost too.
				require.InDelta(t, r.Sent-50, r.Lost, 50)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.check(t, run(t, plan(start(t, &crowd{deliver: tc.deliver}))))
		})
	}
}

func TestTheOpenLoopKeepsItsRateAndTimesEveryDelivery(t *testing.T) {
	p := plan(start(t, floor.New()))
	p.Messages, p.Rate, p.Warmup, p.Measure, p.Sample = 0, 1000, 100*time.Millisecond, 2*time.Second, 100*time.Millisecond
	res := run(t, p)
	require.InDelta(t, 1000*res.Seconds, res.Messages, 500) // what fell due while nobody let this process run comes late
	require.Zero(t, res.Lost+res.Misplaced)
	require.NotNil(t, res.Latency)
	require.GreaterOrEqual(t, int64(res.Latency.N), res.Deliveries)
	require.LessOrEqual(t, int64(res.Latency.N), res.Delivered)
	require.Positive(t, res.Latency.P50)
	require.LessOrEqual(t, res.Latency.P50, res.Latency.P99)
	require.GreaterOrEqual(t, len(res.Memory), 4)
}

func TestLatencyCountsFromWhenAMessageWasDue(t *testing.T) {
	const stall = 200 * time.Millisecond
	srv := &crowd{deliver: func(c *websocket.Conn, m, n int, text []byte) {
		if n == 100 && m == 0 {
			time.Sleep(stall) // the server stands still; messages that fall due meanwhile are late
		}
		_ = c.WriteMessage(websocket.TextMessage, text)
	}}
	p := plan(start(t, srv))
	p.Messages, p.Rate, p.Measure = 0, 500, 600*time.Millisecond
	res := run(t, p)
	require.GreaterOrEqual(t, res.Latency.Max, stall)
	// About a sixth of all messages fell due during the stall, so the 99th percentile is among them.
	require.Greater(t, res.Latency.P99, stall/2)
}

func TestTheServersCPUTimeIsThatOfTheWindowAlone(t *testing.T) {
	// A process that does nothing but use CPU time stands for the server.
	busy := exec.Command("/bin/sh", "-c", "while :; do :; done")
	require.NoError(t, busy.Start())
	defer func() { _ = busy.Process.Kill(); _ = busy.Wait() }()
	p := plan(start(t, floor.New()))
	p.ServerPID, p.Messages, p.Warmup, p.Measure = busy.Process.Pid, 0, time.Second, 250*time.Millisecond
	res := run(t, p)
	require.Positive(t, res.ServerCPU)
	require.Less(t, res.ServerCPU.Seconds(), res.Seconds+0.5) // with the second before the window it would be more
}

func TestWhatCannotBeRunIsAnError(t *testing.T) {
	refused := httptest.NewServer(http.NotFoundHandler())
	defer refused.Close()
	p := plan(strings.TrimPrefix(refused.URL, "http://"))
	_, err := load.Run(t.Context(), p)
	require.ErrorContains(t, err, "404")
	p.Do = "dance"
	_, err = load.Run(t.Context(), p)
	require.ErrorContains(t, err, "dance")
}
