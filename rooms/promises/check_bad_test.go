package promises

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A good history; each bad one is a change of it. Ann and bob are in a room, ann sends three messages, cyd joins, bob is
// disconnected and resumes.
func good() []event {
	say := func(n int64, text string) []event {
		return []event{
			{Kind: sent, Conn: 1, Room: "r", Text: text, Ref: "ref" + text},
			{Kind: stored, Room: "r", Gen: 7, Seq: n, Text: text},
			{Kind: acked, Conn: 1, Gen: 7, Seq: n, Text: text},
			{Kind: shown, Conn: 1, Gen: 7, Seq: n, Text: text, Ref: "ref" + text},
		}
	}
	return slices.Concat(
		[]event{
			{Kind: joining, Conn: 1, Room: "r", Since: fresh}, {Kind: joined, Conn: 1, Whole: true},
			{Kind: joining, Conn: 2, Room: "r", Since: fresh}, {Kind: joined, Conn: 2, Whole: true},
		},
		say(1, "a"),
		[]event{{Kind: shown, Conn: 2, Gen: 7, Seq: 1, Text: "a"}, {Kind: ended, Conn: 2}},
		say(2, "b"),
		[]event{
			{Kind: joining, Conn: 3, Room: "r", Since: fresh},
			{Kind: history, Conn: 3, Seq: 2, Whole: true},
			{Kind: shown, Conn: 3, Gen: 7, Seq: 1, Text: "a"}, {Kind: shown, Conn: 3, Gen: 7, Seq: 2, Text: "b"},
			{Kind: joined, Conn: 3, Whole: true},
			{Kind: joining, Conn: 4, Room: "r", Since: 1, Gen: 7},
			{Kind: history, Conn: 4, Seq: 1, Whole: true},
			{Kind: shown, Conn: 4, Gen: 7, Seq: 2, Text: "b"},
			{Kind: joined, Conn: 4, Whole: true},
		},
		say(3, "c"),
		[]event{{Kind: shown, Conn: 3, Gen: 7, Seq: 3, Text: "c"}, {Kind: shown, Conn: 4, Gen: 7, Seq: 3, Text: "c"}},
		[]event{
			{Kind: kept, Room: "r", Gen: 7, Seq: 1, Text: "a"}, {Kind: kept, Room: "r", Gen: 7, Seq: 2, Text: "b"},
			{Kind: kept, Room: "r", Gen: 7, Seq: 3, Text: "c"}, {Kind: quiet},
		},
	)
}

// find returns the index of the first event of this kind, connection and number; 0 stands for any number.
func find(t *testing.T, events []event, k kind, conn int, seq int64) int {
	t.Helper()
	i := slices.IndexFunc(events, func(e event) bool { return e.Kind == k && e.Conn == conn && (seq == 0 || e.Seq == seq) })
	require.GreaterOrEqual(t, i, 0, "no %s of %d, %d", k, conn, seq)
	return i
}

func TestAGoodHistoryIsGood(t *testing.T) {
	require.Empty(t, check(good()))
}

func TestBrokenPromisesAreFound(t *testing.T) {
	type change func(t *testing.T, list []event) []event
	without := func(k kind, conn int, seq int64) change {
		return func(t *testing.T, list []event) []event {
			i := find(t, list, k, conn, seq)
			return slices.Delete(list, i, i+1)
		}
	}
	// after inserts e behind the event that the arguments name.
	after := func(k kind, conn int, seq int64, e ...event) change {
		return func(t *testing.T, list []event) []event {
			return slices.Insert(list, find(t, list, k, conn, seq)+1, e...)
		}
	}
	edit := func(k kind, conn int, seq int64, f func(e *event)) change {
		return func(t *testing.T, list []event) []event {
			f(&list[find(t, list, k, conn, seq)])
			return list
		}
	}
	swap := func(k kind, conn int, a, b int64) change {
		return func(t *testing.T, list []event) []event {
			i, j := find(t, list, k, conn, a), find(t, list, k, conn, b)
			list[i], list[j] = list[j], list[i]
			return list
		}
	}
	again := func(n int, list ...change) change {
		return func(t *testing.T, events []event) []event {
			for range n {
				for _, c := range list {
					events = c(t, events)
				}
			}
			return events
		}
	}
	both := func(list ...change) change { return again(1, list...) }
	gone := []event{{Kind: removed, Room: "r", Gen: 7}}
	emptied := both(without(kept, 0, 1), without(kept, 0, 2), without(kept, 0, 3))

	for name, test := range map[string]struct {
		change change
		want   string // a part of the report
	}{
		"a message is not shown":                    {without(shown, 3, 3), "connection 3 was not shown 3"},
		"a message in between is not shown":         {without(shown, 1, 2), "2 was not shown before it"},
		"a resumed client misses a message":         {both(without(shown, 4, 2), edit(history, 4, 1, func(e *event) { e.Seq = 0 })), "2 had been acknowledged before"},
		"and nobody had acknowledged it":            {both(without(acked, 1, 2), without(shown, 4, 2)), "2 was not shown before it"},
		"a history that ends early":                 {without(shown, 3, 2), "2 had been acknowledged before"},
		"a history that begins late":                {without(shown, 3, 1), "1 was not shown before it"},
		"a message is shown twice":                  {after(shown, 3, 3, event{Kind: shown, Conn: 3, Gen: 7, Seq: 3, Text: "c"}), "shown again"},
		"a resumed client is shown what it has":     {after(history, 4, 1, event{Kind: shown, Conn: 4, Gen: 7, Seq: 1, Text: "a"}), "shown again"},
		"messages are shown in another order":       {swap(shown, 3, 1, 2), "shown again, or out of order"},
		"another text is shown":                     {edit(shown, 3, 2, func(e *event) { e.Text = "c" }), `shown "c", but "b" is stored there`},
		"a message is shown before it is stored":    {both(without(shown, 3, 3), after(sent, 1, 0, event{Kind: shown, Conn: 3, Gen: 7, Seq: 3, Text: "c"})), "is stored there"},
		"what nobody sent is stored":                {edit(sent, 1, 0, func(e *event) { e.Text = "z" }), "nobody sent it"},
		"a message is stored twice":                 {after(stored, 0, 3, event{Kind: stored, Room: "r", Gen: 7, Seq: 4, Text: "c"}), "stored twice"},
		"a number is left out":                      {edit(stored, 0, 3, func(e *event) { e.Seq = 4 }), "number 4 follows 2"},
		"a number is given twice":                   {edit(stored, 0, 3, func(e *event) { e.Seq = 2 }), "number 2 follows 2"},
		"acknowledged under another number":         {edit(acked, 1, 3, func(e *event) { e.Seq = 2 }), "acknowledged as 2, but stored as 3"},
		"acknowledged twice":                        {after(acked, 1, 3, event{Kind: acked, Conn: 1, Gen: 7, Seq: 3, Text: "c"}), "acknowledged twice"},
		"acknowledged, and not stored":              {both(without(stored, 0, 3), without(kept, 0, 3)), "acknowledged as 3, but stored as 0"},
		"acknowledged, and lost later":              {without(kept, 0, 3), "in the store: false, want true"},
		"refused, and stored":                       {after(sent, 1, 0, event{Kind: refused, Conn: 1, Text: "a"}), "its sender was told that it is not"},
		"stored, and refused":                       {after(stored, 0, 1, event{Kind: refused, Conn: 1, Text: "a"}), "refused, but stored"},
		"the sender is not told its ref":            {edit(shown, 1, 2, func(e *event) { e.Ref = "" }), "was not shown it by its ref"},
		"another is told the ref":                   {edit(shown, 3, 3, func(e *event) { e.Ref = "refc" }), "not this connection's name"},
		"the sender is told another ref":            {edit(shown, 1, 3, func(e *event) { e.Ref = "refb" }), "not this connection's name"},
		"shown to who was told of the deletion":     {both(after(shown, 3, 2, gone...), after(removed, 0, 0, event{Kind: deleted, Conn: 3}), emptied), "shown to who has left"},
		"told of a deletion that was none":          {after(shown, 3, 3, event{Kind: deleted, Conn: 3}), "which it was not"},
		"a deleted room's members are not told":     {both(after(shown, 4, 3, gone...), emptied), "was not told that its room was deleted"},
		"a deleted room's messages are there again": {after(shown, 4, 3, gone...), "in the store: true, want false"},
		"stored in a deleted room":                  {both(after(shown, 4, 2, gone...), emptied), "stored in a room that was deleted"},
		"what is sent again is stored again": {after(joined, 3, 0, event{Kind: sent, Conn: 3, Room: "r", Text: "b", Ref: "refb"},
			event{Kind: stored, Room: "r", Gen: 7, Seq: 3, Text: "b"}), "stored twice, as 2 before"},
		"a client is to begin anew without need":                  {edit(history, 4, 1, func(e *event) { e.Reset = true }), "told to begin anew in the room that it was in"},
		"a client is not told that its number is of another room": {edit(joining, 4, 0, func(e *event) { e.Gen = 6 }), "resumed in generation 6, of another"},
		"two rooms of one id are taken for one": {after(shown, 3, 3,
			event{Kind: sent, Conn: 1, Room: "r", Text: "d"}, event{Kind: stored, Room: "r", Gen: 8, Seq: 1, Text: "d"},
			event{Kind: shown, Conn: 3, Gen: 8, Seq: 1, Text: "d"}), "is of generation 8, and what was shown before of 7"},
		"one connection's messages change places": {both(
			after(shown, 4, 3, event{Kind: sent, Conn: 1, Room: "r", Text: "d"}, event{Kind: sent, Conn: 1, Room: "r", Text: "e"}),
			after(sent, 1, 0), func(t *testing.T, list []event) []event {
				i := slices.IndexFunc(list, func(e event) bool { return e.Kind == sent && e.Text == "e" })
				return slices.Insert(list, i+1, event{Kind: stored, Room: "r", Gen: 7, Seq: 4, Text: "e"}, event{Kind: stored, Room: "r", Gen: 7, Seq: 5, Text: "d"})
			}), "its connection sent it before"},
		"a later message comes before an acknowledged one": {func(t *testing.T, list []event) []event {
			// c is sent after b was acknowledged, but gets number 2.
			list[find(t, list, stored, 0, 3)].Seq = 2
			return list
		}, "was sent after 2 was acknowledged, and comes before it"},
	} {
		t.Run(name, func(t *testing.T) {
			events := test.change(t, good())
			list := check(events)
			require.NotEmpty(t, list)
			require.True(t, slices.ContainsFunc(list, func(b broken) bool { return strings.Contains(b.What, test.want) }), "%s", report(events, list))
		})
	}
}

// These histories only look as if a promise were broken.
func TestWhatIsNotPromised(t *testing.T) {
	list := good()
	i := find(t, list, stored, 0, 2)
	list = slices.Insert(list, i+1, event{Kind: erased, Room: "r", Gen: 7, Seq: 2})
	list = slices.DeleteFunc(list, func(e event) bool { return e.Seq == 2 && (e.Kind == shown || e.Kind == kept) })
	list[find(t, list, history, 3, 0)].Seq = 1
	list[find(t, list, history, 4, 0)].Seq = 0
	require.Empty(t, check(list), "a deleted message is missing")

	list = good()
	i = find(t, list, shown, 3, 1)
	list = slices.Delete(list, i, i+1)
	list[i-1].Whole, list[i-1].Seq = false, 1
	require.Empty(t, check(list), "a history is cut to its newest messages")

	list = good()
	i = find(t, list, joined, 3, 0)
	list = slices.Insert(list, i+1, event{Kind: sent, Conn: 3, Room: "r", Text: "b", Ref: "refb"},
		event{Kind: acked, Conn: 3, Gen: 7, Seq: 2, Text: "b"}, event{Kind: shown, Conn: 3, Gen: 7, Seq: 2, Text: "b", Ref: "refb"})
	require.Empty(t, check(list), "who sends again is told what became of it, by its ref")

	list = good()
	list = slices.Insert(list, find(t, list, shown, 4, 3), event{Kind: ended, Conn: 3})
	list = slices.DeleteFunc(list, func(e event) bool { return e.Kind == shown && e.Conn == 3 && e.Seq == 3 })
	require.Empty(t, check(list), "who has been cut is shown nothing more")
}
