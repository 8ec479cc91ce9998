package rooms_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
	"github.com/traceroom/traceroom/rooms/store"
)

// told is an event that a recorder was sent.
type told struct {
	Kind      string
	Client    string
	Seq       int64
	Text, Ref string
	Count     int
	History   []int64
	Truncated bool
	Epoch     string
	Reset     bool
	More      bool
}

// lines is a rooms.Format: one JSON value a line.
type lines struct{}

func (lines) Transport() string { return "websocket" }

func (lines) Append(dst []byte, ev *rooms.Event, ref string) []byte {
	l := told{
		Kind: ev.Kind.String(), Client: ev.ClientID, Ref: ref, Count: ev.Participants,
		Truncated: ev.Truncated, Epoch: ev.Epoch, Reset: ev.Reset, More: ev.More,
	}
	if ev.Message != nil {
		l.Seq, l.Text = ev.Message.Seq, ev.Message.Text
	}
	for _, m := range ev.History {
		l.History = append(l.History, m.Seq)
	}
	b, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	return append(append(dst, b...), '\n')
}

// recorder is a rooms.Sink that keeps the events that it is sent.
type recorder struct {
	full    atomic.Bool // takes nothing more
	mu      sync.Mutex  // guards what follows
	events  []told
	removed []rooms.Removal
}

func (*recorder) Format() rooms.Format { return lines{} }

func (r *recorder) Push(b *rooms.Bundle) bool {
	if r.full.Load() {
		return false
	}
	r.read(b)
	b.Done("recorder", true)
	return true
}

// read keeps the events of b.
func (r *recorder) read(b *rooms.Bundle) {
	var events []told
	for rest := b.Bytes(); len(rest) > 0; {
		i := 0
		for rest[i] != '\n' {
			i++
		}
		var l told
		if err := json.Unmarshal(rest[:i], &l); err != nil {
			panic(err)
		}
		events = append(events, l)
		rest = rest[i+1:]
	}
	if len(events) != b.Len() {
		panic("a bundle does not say how many events it holds")
	}
	r.mu.Lock()
	r.events = append(r.events, events...)
	r.mu.Unlock()
}

func (r *recorder) Removed(_ *rooms.Member, why rooms.Removal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removed = append(r.removed, why)
}

// all returns all events.
func (r *recorder) all() []told {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[:len(r.events):len(r.events)]
}

// seqs returns the numbers of all messages, those of histories included.
func (r *recorder) seqs() (seqs []int64) {
	for _, e := range r.all() {
		switch e.Kind {
		case "message":
			seqs = append(seqs, e.Seq)
		case "history":
			seqs = append(seqs, e.History...)
		}
	}
	return seqs
}

// last returns the number of the last message, 0 if there is none.
func (r *recorder) last() int64 {
	if seqs := r.seqs(); len(seqs) > 0 {
		return seqs[len(seqs)-1]
	}
	return 0
}

// kinds counts events by kind.
func (r *recorder) kinds() map[string]int {
	n := map[string]int{}
	for _, e := range r.all() {
		n[e.Kind]++
	}
	return n
}

// node is a Hub that counts what it has read from the store to catch up.
type node struct {
	*rooms.Hub
	caughtUp atomic.Int64
}

func openStore(t *testing.T) rooms.Store {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite://:memory:", store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func newNode(t *testing.T, s rooms.Store, r rooms.Relay, limits rooms.Limits) *node {
	t.Helper()
	n := &node{}
	var err error
	n.Hub, err = rooms.NewHub(t.Context(), rooms.Config{Store: s, Relay: r, Limits: limits, Hooks: rooms.Hooks{
		CaughtUp: func(_ string, k int) { n.caughtUp.Add(int64(k)) },
	}})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), waitFor)
		defer cancel()
		require.NoError(t, n.Close(ctx))
	})
	return n
}

// join has a client join. If since is below zero, it does not resume.
func (n *node) join(t *testing.T, room, client string, since int64) (*recorder, *rooms.Member) {
	t.Helper()
	r := &recorder{}
	req := rooms.Join{RoomID: room, ClientID: client}
	if since >= 0 {
		req.Since = &since
	}
	m, err := n.Join(t.Context(), &rooms.Conn{ID: client, Transport: "websocket", Sink: r}, req)
	require.NoError(t, err)
	return r, m
}

// send sends a message and waits until it is stored and published. It may be called from any goroutine.
func (n *node) send(room, client, text, ref string, from *rooms.Member) error {
	done := make(chan error, 1)
	err := n.Send(context.Background(), rooms.Post{RoomID: room, ClientID: client, Text: text, Ref: ref, From: from, Transport: "websocket"},
		func(_ *rooms.Message, _ bool, err error) { done <- err })
	if err != nil {
		return err
	}
	return <-done
}

// lossy is a Relay that gets the events of another node and loses, repeats and delays messages.
type lossy struct {
	relay.Local
	to   rooms.Relay // where the other node's events come from
	deaf atomic.Bool // it loses everything
}

func (l *lossy) Subscribe(ctx context.Context, roomID string, handle relay.Handler) (func(), error) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(1, 2))
	var late []*rooms.Event
	own, err := l.Local.Subscribe(ctx, roomID, handle)
	if err != nil {
		return nil, err
	}
	cancel, err := l.to.Subscribe(ctx, roomID, func(ctx context.Context, ev *rooms.Event) {
		if l.deaf.Load() {
			return
		}
		if ev.Kind != rooms.EventMessage {
			handle(ctx, ev)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		switch random.IntN(8) {
		case 0, 1, 2: // lost
		case 3:
			handle(ctx, ev)
			handle(ctx, ev)
		case 4:
			late = append(late, ev)
		default:
			handle(ctx, ev)
		}
		if len(late) > 5 {
			random.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
			for _, ev := range late {
				handle(ctx, ev)
			}
			late = nil
		}
	})
	return func() { own(); cancel() }, err
}
