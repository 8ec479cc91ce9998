package floor_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/traceroom/traceroom/app/bench/floor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryMemberGetsEveryMessageInTheSameOrder(t *testing.T) {
	srv := httptest.NewServer(floor.New())
	defer srv.Close()
	const members, each = 5, 200
	conns := make([]*websocket.Conn, members)
	for i := range conns {
		c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(srv.URL, "http"), nil)
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
		conns[i] = c
	}
	// A member is in the room once it hears itself.
	for _, c := range conns {
		require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("here")))
	}
	for _, c := range conns {
		_, _, err := c.ReadMessage()
		require.NoError(t, err)
	}
	got := make([][]string, members)
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			for n := range each {
				if err := c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "%d-%d", i, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			for len(got[i]) < members*each {
				_, p, err := c.ReadMessage()
				if err != nil {
					t.Error(err)
					return
				}
				if string(p) != "here" {
					got[i] = append(got[i], string(p))
				}
			}
		})
	}
	wg.Wait()
	for i, of := range got {
		require.Len(t, of, members*each)
		require.Equal(t, got[0], of)
		next := make(map[string]int)
		for _, text := range of {
			from, n, _ := strings.Cut(text, "-")
			require.Equal(t, fmt.Sprint(next[from]), n, "member %d, sender %s", i, from)
			next[from]++
		}
	}
}
