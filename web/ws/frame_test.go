package ws_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/ws"
)

func TestFramesAreCutWhereverTheReadEnds(t *testing.T) {
	payloads := []string{"", "a", strings.Repeat("b", 125), strings.Repeat("c", 126), strings.Repeat("d", 65535), strings.Repeat("e", 65536)}
	var all []byte
	for _, p := range payloads {
		all = ws.AppendFrame(all, ws.Text, []byte(p))
	}
	for _, step := range []int{1, 7, 1000, len(all)} {
		var have []byte
		var got []string
		for i := 0; i < len(all); i += step {
			have = append(have, all[i:min(i+step, len(all))]...)
			for {
				f, n, err := ws.CutFrame(have)
				require.NoError(t, err)
				if n == 0 {
					break
				}
				require.True(t, f.Final)
				require.EqualValues(t, ws.Text, f.Op)
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
		_, _, err := ws.CutFrame(b)
		require.ErrorIs(t, err, ws.ErrFrame)
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
		_, err := c.NetConn().Write(ws.AppendClientFrame(nil, ws.Text, []byte(text)))
		require.NoError(t, err)
		require.Equal(t, text, <-got)
	}
}

// A frame that was begun before its length was known is the one that would have been appended whole.
func TestABegunFrameIsLikeAWholeOne(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
		payload := strings.Repeat("x", n)
		for _, before := range []string{"", "what was there"} {
			b, start := ws.BeginFrame([]byte(before))
			require.Equal(t, ws.AppendFrame([]byte(before), ws.Binary, []byte(payload)), ws.EndFrame(append(b, payload...), start, ws.Binary))
		}
	}
}
