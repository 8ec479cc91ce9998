package relay

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
)

// What other versions may add behind the known fields is passed over, and their new kinds are no events.
func TestOtherVersions(t *testing.T) {
	ev := &rooms.Event{Kind: rooms.EventJoined, RoomID: "a", ClientID: "ada", Participants: 3, Turn: 4, Received: time.UnixMicro(1)}
	p := appendEvent(nil, ev, time.UnixMicro(2))
	got, err := parseEvent("a", append(p, "more"...))
	require.NoError(t, err)
	require.Equal(t, 3, got.Participants)

	for _, other := range [][]byte{{}, {wireVersion}, {wireVersion + 1, byte(rooms.EventTyping)}, {wireVersion, 99, 0, 0, 0, 0, 0}} {
		_, err := parseEvent("a", other)
		require.ErrorIs(t, err, errWire)
	}
	for n := range p {
		_, err := parseEvent("a", p[:n])
		require.ErrorIs(t, err, errWire, "cut off after %d bytes", n)
	}
}

func FuzzParseEvent(f *testing.F) {
	message := &rooms.Message{ID: "id", Seq: 7, Text: "text", ParentID: "parent", CreatedAt: time.UnixMilli(5), UpdatedAt: time.UnixMilli(6)}
	f.Add(appendEvent(nil, &rooms.Event{Kind: rooms.EventMessage, Message: message, Received: time.UnixMicro(1)}, time.UnixMicro(2)))
	f.Add(appendEvent(nil, &rooms.Event{Kind: rooms.EventLeft, Participants: 1, Turn: 2, Received: time.UnixMicro(1)}, time.UnixMicro(2)))
	f.Fuzz(func(t *testing.T, p []byte) {
		ev, err := parseEvent("a", p)
		if err != nil {
			return
		}
		again, err := parseEvent("a", appendEvent(nil, ev, ev.Relayed))
		require.NoError(t, err)
		require.Equal(t, ev, again)
	})
}

func BenchmarkEvent(b *testing.B) {
	message := &rooms.Message{ID: "0195d0c5-0000-7000-8000-000000000000", Seq: 7, Text: string(make([]byte, 64)), ClientID: "ada",
		Trace: rooms.TraceContext{Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
	ev := &rooms.Event{Kind: rooms.EventMessage, ClientID: "ada", Message: message, Transport: "websocket", Received: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		p := appendEvent(make([]byte, 0, 256), ev, ev.Received)
		if _, err := parseEvent("a", p); err != nil {
			b.Fatal(err)
		}
	}
}

// An event of another node is as old as the clocks say, as far as that is possible.
func TestWhenAnEventWasReceivedIsByThisNodesClock(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		there, way, age time.Duration // from receipt to sending, by the other clock; from sending until now, by both
	}{
		"right clocks":                 {3 * time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond},
		"their clock an hour ahead":    {3 * time.Millisecond, -time.Hour, 3 * time.Millisecond},
		"their clock an hour behind":   {3 * time.Millisecond, time.Hour, 3 * time.Millisecond},
		"set back before it was sent":  {-time.Hour, 2 * time.Millisecond, 2 * time.Millisecond},
		"set ahead before it was sent": {time.Hour, 2 * time.Millisecond, 2 * time.Millisecond},
		"a store that took long":       {10 * time.Second, 2 * time.Millisecond, 10*time.Second + 2*time.Millisecond},
	} {
		sent := now.Add(-test.way)
		p := appendEvent(nil, &rooms.Event{Kind: rooms.EventTyping, Received: sent.Add(-test.there)}, sent)
		ev, err := parseEvent("a", p)
		require.NoError(t, err)
		got := received(ev, now)
		require.InDelta(t, test.age, now.Sub(got), float64(2*time.Microsecond), name)
	}
	ev, err := parseEvent("a", appendEvent(nil, &rooms.Event{Kind: rooms.EventLeft}, now))
	require.NoError(t, err)
	require.True(t, received(ev, now).IsZero(), "it was not said")
}
