package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
	"github.com/traceroom/traceroom/tracing"
	"github.com/traceroom/traceroom/tracing/span"
)

// numbering is a Store that only gives messages their numbers.
type numbering struct {
	rooms.Store
	last int64
}

func (*numbering) Rooms(context.Context) ([]rooms.Room, error) { return nil, nil }
func (s *numbering) Room(_ context.Context, id string) (rooms.Room, error) {
	return rooms.Room{ID: id, LastSeq: s.last}, nil
}
func (*numbering) Newest(context.Context, string, int64, int, rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	return nil, false, nil
}
func (s *numbering) Append(_ context.Context, _ string, drafts []rooms.Draft) error {
	for _, d := range drafts {
		s.last++
		d.Message.Seq = s.last
	}
	return nil
}

// taking is a member's connection that has written what it is handed at once.
type taking struct{ id string }

func (taking) Format() rooms.Format                 { return wire{} }
func (taking) Removed(*rooms.Member, rooms.Removal) {}
func (s taking) Push(b *rooms.Bundle) bool          { b.Done(s.id, true); return true }

const liveTraces = 500

// observedRoom is a room of this many members with everything observed but for the export, and a store and connections
// that cost nothing. say has one of them say something, and returns when all have been sent it.
func observedRoom(tb testing.TB, members int) (say func()) {
	tb.Helper()
	telemetry, err := tracing.New(tb.Context(), tracing.Config{
		ServiceName: "test", TraceLog: zapcore.AddSync(io.Discard), LiveTraces: liveTraces, Log: zap.NewNop(), Getenv: func(string) string { return "" },
	})
	require.NoError(tb, err)
	hub, err := rooms.NewHub(tb.Context(), rooms.Config{
		Store: telemetry.Store(&numbering{}, "sqlite"), Relay: telemetry.Relay(&relay.Local{}), Hooks: telemetry.Hooks(),
	})
	require.NoError(tb, err)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(tb, hub.Close(ctx))
		require.NoError(tb, telemetry.Shutdown(ctx))
	})
	service := telemetry.Service(hub)
	var from *rooms.Member
	var ctx context.Context
	for i := range members {
		id := fmt.Sprint("abcdef-", i)
		conn := &rooms.Conn{ID: id, Transport: "websocket", Sink: taking{id}}
		var answered func(int)
		ctx, answered = telemetry.Connecting(httptest.NewRequest(http.MethodGet, "/ws/general/"+id, nil), conn)
		from, err = service.Join(ctx, conn, rooms.Join{RoomID: "general", ClientID: fmt.Sprint("client", i)})
		require.NoError(tb, err)
		answered(http.StatusSwitchingProtocols)
	}
	ctx = span.Detach(ctx) // as every frame begins
	frame := []byte(`{"type":"message","text":"0123456789012345678901234567890123456789012345678901234567890123","ref":"17"}`)
	sent := make(chan error, 1)
	return func() {
		f, err := parseFrame(frame)
		if err == nil {
			err = service.Send(ctx, rooms.Post{
				RoomID: from.RoomID, ClientID: from.ClientID, Text: f.Text, Ref: f.Ref, Transport: "websocket", Received: time.Now(), From: from,
			}, func(_ *rooms.Message, _ bool, err error) { sent <- err })
		}
		if err == nil {
			err = <-sent
		}
		if err != nil {
			tb.Error(err)
		}
	}
}

// A message from its frame to its members' queues, observed, without what store, sockets and export cost.
func BenchmarkMessage(b *testing.B) {
	for _, members := range []int{8, 200, 1000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			say := observedRoom(b, members)
			b.ReportAllocs()
			for b.Loop() {
				say()
			}
		})
	}
}

func BenchmarkParseFrame(b *testing.B) {
	frame := []byte(`{"type":"message","text":"0123456789012345678901234567890123456789012345678901234567890123","ref":"17"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseFrame(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeMessage(b *testing.B) {
	ev := &rooms.Event{Kind: rooms.EventMessage, RoomID: "general", ClientID: "ada", Message: &rooms.Message{
		ID: "01a201d3-6fac-77cf-b113-1ce1a3267b62", RoomID: "general", ClientID: "ada", Text: "0123456789012345678901234567890123456789", Seq: 17,
		CreatedAt: time.Now(), Trace: rooms.TraceContext{Parent: "00-c6046b15af4b37114d80f740b54d3fb3-791186220d075561-01"},
	}}
	b.ReportAllocs()
	var p []byte
	for b.Loop() {
		p = wire{}.Append(p[:0], ev, "17")
	}
}
