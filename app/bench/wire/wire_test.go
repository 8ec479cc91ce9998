package wire_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/bench/wire"
)

func TestFramesAreCutWhereverTheReadEnds(t *testing.T) {
	payloads := []string{"", "a", strings.Repeat("b", 125), strings.Repeat("c", 126), strings.Repeat("d", 65535), strings.Repeat("e", 65536)}
	var all []byte
	for _, p := range payloads {
		all = wire.AppendServer(all, []byte(p))
	}
	for _, step := range []int{1, 7, 1000, len(all)} {
		var have []byte
		var got []string
		for i := 0; i < len(all); i += step {
			have = append(have, all[i:min(i+step, len(all))]...)
			for {
				f, n, err := wire.Next(have)
				require.NoError(t, err)
				if n == 0 {
					break
				}
				require.True(t, f.Fin)
				require.EqualValues(t, wire.TextFrame, f.Op)
				got = append(got, string(f.Payload))
				have = have[n:]
			}
		}
		require.Empty(t, have)
		require.Equal(t, payloads, got)
	}
}

func TestWhatNoServerSendsIsAnError(t *testing.T) {
	for _, b := range [][]byte{{0x81, 0x80, 0, 0, 0, 0}, {0xC1, 0}, {0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0}} {
		_, _, err := wire.Next(b)
		require.ErrorIs(t, err, wire.ErrFrame)
	}
}

func TestAServerReadsWhatAClientSends(t *testing.T) {
	got := make(chan string, 3)
	var up websocket.Upgrader
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for range cap(got) {
			_, p, err := c.ReadMessage()
			if err != nil {
				t.Error(err)
				return
			}
			got <- string(p)
		}
	}))
	defer srv.Close()
	c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(srv.URL, "http"), nil)
	require.NoError(t, err)
	defer c.Close()
	for _, size := range []int{5, 300, 70_000} {
		text := strings.Repeat("x", size)
		_, err := c.NetConn().Write(wire.AppendClient(nil, wire.TextFrame, []byte(text)))
		require.NoError(t, err)
		require.Equal(t, text, <-got)
	}
}

func TestTextsAreFoundInAnyFraming(t *testing.T) {
	text := wire.AppendText(nil, 0xabcd, 0x01234567)
	require.Len(t, text, wire.TextSize)
	second := wire.AppendText(nil, 1, 2)
	for name, payload := range map[string]string{
		"alone": string(text) + string(second),
		"lines": string(text) + "\n" + string(second),
		"json":  fmt.Sprintf(`[{"type":"message","text":%q,"seq":4},{"text":%q}]`, text, second),
	} {
		room, n, rest, ok := wire.FindText([]byte(payload))
		require.True(t, ok, name)
		require.EqualValues(t, 0xabcd, room, name)
		require.EqualValues(t, 0x01234567, n, name)
		room, n, rest, ok = wire.FindText(rest)
		require.True(t, ok, name)
		require.EqualValues(t, 1, room, name)
		require.EqualValues(t, 2, n, name)
		_, _, rest, ok = wire.FindText(rest)
		require.True(t, ok, name)
		require.Nil(t, rest, name)
	}
}

func TestADamagedTextIsSeen(t *testing.T) {
	text := wire.AppendText(nil, 1, 2)
	for i := 1; i < len(text); i++ {
		bad := bytes.Clone(text)
		bad[i] = '#'
		_, _, _, ok := wire.FindText(bad)
		require.False(t, ok, i)
		_, _, _, ok = wire.FindText(text[:i])
		require.False(t, ok, i)
	}
}

func TestScanningAllocatesNothing(t *testing.T) {
	frame := wire.AppendServer(nil, fmt.Appendf(nil, `{"type":"message","text":%q}`, wire.AppendText(nil, 1, 2)))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		f, _, _ := wire.Next(frame)
		_, _, _, _ = wire.FindText(f.Payload)
	}))
}

func BenchmarkScan(b *testing.B) {
	frame := wire.AppendServer(nil, fmt.Appendf(nil, `{"type":"message","client_id":"m1","text":%q,"room_id":"bench-0","timestamp":1635789012345,"seq":42,"id":"019a0000-0000-7000-8000-000000000000","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`, wire.AppendText(nil, 1, 2)))
	for b.Loop() {
		f, _, _ := wire.Next(frame)
		_, _, rest, _ := wire.FindText(f.Payload)
		_, _, _, _ = wire.FindText(rest)
	}
}
