package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
	"github.com/traceroom/traceroom/web/wstest"
)

// forgetful is a store of rooms that can be deleted.
type forgetful struct{ numbering }

func (*forgetful) DeleteRoom(context.Context, string) (int64, error) { return 1, nil }

// listening starts a server of rooms that keep nothing, and returns its address.
func listening(t *testing.T, limits Limits) string {
	t.Helper()
	hub, err := rooms.NewHub(t.Context(), rooms.Config{Store: &forgetful{}, Relay: &relay.Local{}})
	require.NoError(t, err)
	nothing := http.NotFoundHandler()
	s := New(Config{Service: hub, Page: nothing, Metrics: nothing, Log: zap.NewNop(), Limits: limits})
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.Drain(ctx)
		s.Close()
		srv.Close()
		require.NoError(t, hub.Close(ctx))
	})
	return srv.Listener.Addr().String()
}

// Each case on a connection of its own: what is answered, the close code, that the server closes at once, without waiting
// for the client, and that the connection is not reset.
func TestEverySectionOfRFC6455OnAConnection(t *testing.T) {
	limits := DefaultLimits
	limits.SendRate = 0
	addr := listening(t, limits)
	for i, c := range (wstest.Server{TextOnly: true, Limit: int(limits.Frame)}).Cases() {
		t.Run(c.Name, func(t *testing.T) {
			conn := wstest.Dial(t, addr, fmt.Sprintf("/ws/room%d/ada", i))
			// No text is the JSON that it should be.
			c.Play(t, conn, false, func(m wstest.Message) bool { return strings.HasPrefix(m.Payload, `{"type":"error"`) })
			conn.Close()
		})
	}
}

func TestWhatTheServerClosesIsClosedAtOnce(t *testing.T) {
	addr := listening(t, DefaultLimits)
	conn := wstest.Dial(t, addr, "/ws/gone/ada")
	_, err := conn.Write([]byte(wstest.Frame(wstest.Final|wstest.Text, "x")))
	require.NoError(t, err)
	for {
		m, err := conn.Next()
		require.NoError(t, err)
		if strings.HasPrefix(m.Payload, `{"type":"error"`) {
			break
		}
	}
	req, err := http.NewRequest(http.MethodDelete, "http://"+addr+"/rooms/gone", nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	for {
		m, err := conn.Next()
		require.NoError(t, err)
		if m.Op == wstest.Close {
			require.Equal(t, "\x0f\xa1", m.Payload[:2])
			break
		}
	}
	conn.Ended(t)
}

func TestOtherHandshakesAreRefused(t *testing.T) {
	addr := listening(t, DefaultLimits)
	for name, test := range wstest.Refused("/ws/general/ada") {
		t.Run(name, func(t *testing.T) {
			_, res := wstest.Ask(t, addr, test.Request)
			res.Body.Close()
			require.Equal(t, test.Status, res.StatusCode)
			require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
			if test.Status == http.StatusUpgradeRequired {
				require.Equal(t, "13", res.Header.Get("Sec-WebSocket-Version"))
				require.Equal(t, "websocket", res.Header.Get("Upgrade"))
			}
		})
	}
}
