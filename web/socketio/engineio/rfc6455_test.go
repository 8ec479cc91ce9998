package engineio_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio/engineio"
	"github.com/traceroom/traceroom/web/wstest"
)

// isEcho reports whether a frame is one that the handler sent.
func isEcho(m wstest.Message) bool {
	return m.Op == wstest.Binary || m.Payload[0] == byte(engineio.Message)
}

// Each case on a connection of its own: what comes back, the close code, that the server closes
// at once, without waiting for the client, and that the connection is not reset.
func TestEverySectionOfRFC6455OnAConnection(t *testing.T) {
	opts := calm()
	opts.MaxPayload = 70_000
	h := serve(t, opts)
	addr := h.http.Listener.Addr().String()
	for _, c := range (wstest.Server{Prefix: "4", Limit: int(opts.MaxPayload)}).Cases() {
		t.Run(c.Name, func(t *testing.T) {
			conn := wstest.Dial(t, addr, "/engine.io/?EIO=4&transport=websocket")
			c.Play(t, conn, true, isEcho)
			conn.Close()
			h.end()
		})
	}
	require.Eventually(t, func() bool { return h.eio.Len() == 0 }, patience, time.Millisecond)
}

func TestOtherHandshakesAreRefused(t *testing.T) {
	h := serve(t, calm())
	for _, sid := range []string{"", "&sid=" + h.poll().sid} {
		for name, test := range wstest.Refused("/engine.io/?EIO=4&transport=websocket" + sid) {
			t.Run(fmt.Sprint(name, len(sid)), func(t *testing.T) {
				_, res := wstest.Ask(t, h.http.Listener.Addr().String(), test.Request)
				res.Body.Close()
				require.Equal(t, test.Status, res.StatusCode)
				require.Equal(t, "application/json", res.Header.Get("Content-Type"))
				if test.Status == http.StatusUpgradeRequired {
					require.Equal(t, "13", res.Header.Get("Sec-WebSocket-Version"))
				}
			})
		}
	}
	require.Equal(t, 1, h.eio.Len())
}
