package promises

import (
	"fmt"
	"strings"
	"sync"
)

// kind is what an event is about.
type kind string

const (
	stored   kind  = "stored"  // the store made a message durable
	removed  kind  = "removed" // the store deleted a room
	erased   kind  = "erased"  // the store deleted a message
	sent     kind  = "sent"    // a client sent a message
	acked    kind  = "acked"   // its sender was told that it is stored
	refused  kind  = "refused" // its sender was told that it is not, and never will be
	joining  kind  = "joining" // a connection asks to join
	history  kind  = "history" // it was handed a history of Seq messages, which are shown next
	shown    kind  = "shown"   // it was shown a message
	joined   kind  = "joined"  // it was told that it has joined
	deleted  kind  = "deleted" // it was told that its room is deleted
	ended    kind  = "ended"   // it has ended
	kept     kind  = "kept"    // at the end: the store holds a message
	quiet    kind  = "quiet"   // the end: there has been no trouble for a while
	fromHTTP       = 0         // the connection of messages that are sent without one
	fresh    int64 = -1        // the since of a connection that does not resume
)

// event is one thing that happened. Which fields are set depends on Kind.
type event struct {
	Kind      kind
	Conn      int
	Room      string
	Gen, Seq  int64
	Text, Ref string
	Since     int64 // joining: the newest message that the client was shown, or fresh; Gen is the generation it was of
	Reset     bool  // history: it does not continue what the client has
	Whole     bool  // history: no message after Since is left out; joined: the client has read all that it was sent
}

func (e event) String() string {
	s := fmt.Sprintf("%-8s conn=%d room=%s gen=%d seq=%d", e.Kind, e.Conn, e.Room, e.Gen, e.Seq)
	if e.Text != "" {
		s += fmt.Sprintf(" text=%s ref=%s", e.Text, e.Ref)
	}
	if e.Kind == joining {
		s += fmt.Sprintf(" since=%d", e.Since)
	}
	return s
}

// record holds the events of a run, in the order in which they happened. Its methods may be called from any goroutine.
type record struct {
	mu     sync.Mutex
	events []event
}

func (r *record) add(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *record) all() []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[:len(r.events):len(r.events)]
}

// broken is a promise that was not kept.
type broken struct {
	At   int // index of the event that shows it
	Conn int
	What string
}

// report returns the text of broken promises and of the events that led to them: those of the store, and of the connections
// concerned. Consecutive events of one kind are put together.
func report(events []event, list []broken) string {
	what := make(map[int][]string)
	concerned := make(map[int]bool)
	for _, b := range list {
		what[b.At] = append(what[b.At], b.What)
		concerned[b.Conn] = true
	}
	var s strings.Builder
	alike := 0 // events that were left out since the last line
	var last event
	for i, e := range events {
		if e.Conn != fromHTTP && !concerned[e.Conn] {
			continue
		}
		if e.Kind == last.Kind && e.Conn == last.Conn && e.Gen == last.Gen && (e.Seq == last.Seq+1 || e.Seq == 0) && what[i] == nil && e.Kind != ended {
			alike++
			last = e
			continue
		}
		if alike > 0 {
			fmt.Fprintf(&s, "     and %d more, up to %d %s\n", alike, last.Seq, last.Text)
		}
		alike, last = 0, e
		fmt.Fprintf(&s, "%4d %s\n", i, e)
		for _, text := range what[i] {
			fmt.Fprintf(&s, "     ^ BROKEN: %s\n", text)
		}
	}
	return s.String()
}
