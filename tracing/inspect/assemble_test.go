package inspect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// written is a log made by hand: times in milliseconds, spans and traces as small numbers.
type written struct{ strings.Builder }

func (w *written) enter(at, trace, span, parent int, function string) {
	fmt.Fprintf(w, `{"timestamp":%d,"event":"ENTER","module":"m","function":"%s","trace_id":"%032x","span_id":"%016x","parent_span_id":"%016x"}`+"\n", 1635789012000+at, function, trace, span, parent)
}

func (w *written) exit(at, trace, span, ms int, function string) {
	fmt.Fprintf(w, `{"timestamp":%d,"event":"EXIT","module":"m","function":"%s","durationMicros":%d,"trace_id":"%032x","span_id":"%016x"}`+"\n", 1635789012000+at, function, ms*1000, trace, span)
}

func (w *written) show(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, status := call(t, nil, append(args, logFile(t, []byte(w.String())))...)
	require.Zero(t, status)
	require.Empty(t, errs)
	return out
}

// headings are the lines that traces begin with.
func headings(out string) (all []string) {
	for l := range strings.Lines(out) {
		if strings.Contains(l, "  trace ") {
			all = append(all, strings.TrimSpace(l))
		}
	}
	return all
}

func TestTracesStandInTheOrderTheyBegan(t *testing.T) {
	var w written
	w.enter(0, 1, 1, 0, "slow")
	w.enter(1, 2, 2, 0, "quick")
	w.exit(2, 2, 2, 1, "quick")
	w.enter(5000, 3, 3, 0, "later")
	w.exit(5001, 3, 3, 1, "later")
	w.exit(9000, 1, 1, 9000, "slow")
	h := headings(w.show(t))
	require.Len(t, h, 3)
	for i := range h {
		require.Contains(t, h[i], fmt.Sprintf("trace %032x", i+1))
	}
	require.NotContains(t, strings.Join(h, ""), "OPEN")
}

func TestWhatComesLateIsAPartOfItsOwn(t *testing.T) {
	var w written
	w.enter(0, 1, 1, 0, "first")
	w.exit(1, 1, 1, 1, "first")
	w.enter(10, 2, 2, 0, "hangs")
	w.enter(5000, 3, 3, 0, "between")
	w.exit(5000, 3, 3, 0, "between")
	w.enter(6000, 1, 4, 1, "late")
	w.exit(6001, 1, 4, 1, "late")
	w.enter(80_000, 4, 5, 0, "end")
	w.exit(80_000, 4, 5, 0, "end")
	w.enter(90_000, 4, 6, 0, "end")
	w.exit(90_000, 2, 2, 89_990, "hangs")
	out := w.show(t)
	h := headings(out)
	require.Len(t, h, 6)
	require.Contains(t, h[1], "1 OPEN", "what hangs is shown as it is when patience ends")
	require.Contains(t, h[3], "continued")
	require.Contains(t, out, "late  parent=0000000000000001 elsewhere")
	require.Contains(t, h[5], "continued")
	require.Contains(t, out, "89,990.000  m.hangs  (began before what is shown)")
}

// Parents in a circle, a span that is its own parent, a tree as deep as it is long: shown once each, without end or crash.
func TestOddTrees(t *testing.T) {
	var w written
	w.enter(0, 1, 1, 3, "a")
	w.enter(0, 1, 2, 1, "b")
	w.enter(0, 1, 3, 2, "c")
	w.enter(0, 1, 4, 4, "self")
	w.enter(0, 1, 4, 0, "twin")
	out := w.show(t)
	for _, f := range []string{"m.a", "m.b", "m.c", "m.self", "m.twin"} {
		require.Equal(t, 1, strings.Count(out, f), "%s\n%s", f, out)
	}

	w.Reset()
	for i := 1; i < 1000; i++ {
		w.enter(0, 1, i, i-1, "deep")
	}
	out = w.show(t)
	require.Equal(t, 999, strings.Count(out, "m.deep"))
	require.Contains(t, out, "(level 998)")
	require.Less(t, len(out), 400_000)
}

func TestALongTraceIsShownInParts(t *testing.T) {
	var w written
	for i := 1; i <= maxTraceSpans*2+10; i++ {
		w.enter(i/100, 1, i, 0, "f")
		w.exit(i/100, 1, i, 0, "f")
	}
	out := w.show(t)
	h := headings(out)
	require.Len(t, h, 3)
	require.NotContains(t, out, "OPEN", "parts end where nothing is open")
	require.Contains(t, h[2], "continued")
	require.Equal(t, maxTraceSpans*2+10, strings.Count(out, "m.f"))

	w.Reset()
	for i := 1; i <= maxTraceSpans*2+10; i++ {
		w.enter(i/100, 1, i, 0, "f")
	}
	h = headings(w.show(t))
	require.Len(t, h, 2)
	require.Contains(t, h[0], "shown before its end")
	require.Contains(t, h[1], "continued")
}

// When more is open than may be held, the oldest is shown as it is, and all is shown once.
func TestTooMuchToHold(t *testing.T) {
	var w written
	n := maxHeldSpans + 1000
	for i := 1; i <= n; i++ {
		w.enter(i/1000, i, i, 0, "f")
	}
	h := headings(w.show(t))
	require.Len(t, h, n)
	require.Contains(t, h[0], "1 OPEN  shown before its end")
	require.NotContains(t, h[n-1], "shown before")
}
