//go:build !race

package engineio_test

import (
	"bufio"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The measure includes the client's end of each connection, which is in the same process.
func TestAnIdleWebSocketIsSmall(t *testing.T) {
	opts := calm()
	opts.HandshakeBytes = -1 // what is kept of requests is not measured
	h := serve(t, opts)
	dial := func(n int) {
		for range n {
			nc, err := net.Dial("tcp", strings.TrimPrefix(h.http.URL, "http://"))
			require.NoError(t, err)
			t.Cleanup(func() { nc.Close() })
			_, err = nc.Write([]byte("GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n" +
				"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"))
			require.NoError(t, err)
			resp, err := http.ReadResponse(bufio.NewReaderSize(nc, 512), nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
		}
	}
	inUse := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	dial(50)
	before := inUse()
	const n = 1000
	dial(n)
	require.Eventually(t, func() bool { return h.eio.Len() == n+50 }, patience, time.Millisecond)
	each := (inUse() - before) / n
	t.Logf("%d bytes a connection", each)
	require.Less(t, each, int64(6<<10))
}
