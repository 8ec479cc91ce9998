package wire_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/bench/wire"
	"github.com/traceroom/traceroom/web/ws"
)

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
	frame := ws.AppendFrame(nil, ws.Text, fmt.Appendf(nil, `{"type":"message","text":%q}`, wire.AppendText(nil, 1, 2)))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		f, _, _ := ws.CutFrame(frame)
		_, _, _, _ = wire.FindText(f.Payload)
	}))
}

func BenchmarkScan(b *testing.B) {
	frame := ws.AppendFrame(nil, ws.Text, fmt.Appendf(nil, `{"type":"message","client_id":"m1","text":%q,"room_id":"bench-0","timestamp":1635789012345,"seq":42,"id":"019a0000-0000-7000-8000-000000000000","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`, wire.AppendText(nil, 1, 2)))
	for b.Loop() {
		f, _, _ := ws.CutFrame(frame)
		_, _, rest, _ := wire.FindText(f.Payload)
		_, _, _, _ = wire.FindText(rest)
	}
}
