package inspect

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func lineOf(lines []string, event, function string) int {
	for i, l := range lines {
		if strings.Contains(l, `"event":"`+event+`"`) && strings.Contains(l, `"function":"`+function+`"`) {
			return i
		}
	}
	panic(event + " " + function)
}

func TestSoundLog(t *testing.T) {
	path := logFile(t, sound())
	out, errs, status := call(t, nil, "check", path)
	require.Zero(t, status)
	require.Empty(t, errs)
	require.Equal(t, "ok: 420 lines, 210 spans, 47 roots: every ENTER has its EXIT, parents exist, children lie within their parents, durations add up\n", out)
}

// Each damage to a sound log is found, at its line.
func TestCheckFinds(t *testing.T) {
	shift := func(l string, by int) string { // moves a line in time
		var at int64
		_, err := fmt.Sscanf(l, `{"timestamp":%d,`, &at)
		require.NoError(t, err)
		return strings.Replace(l, fmt.Sprint(at), fmt.Sprint(at+int64(by)), 1)
	}
	micros := regexp.MustCompile(`"durationMicros":\d+,"durationMillis":\d+`)
	took := func(l string, n int) string {
		return micros.ReplaceAllString(l, fmt.Sprintf(`"durationMicros":%d,"durationMillis":%d`, n, n/1000))
	}
	parent := regexp.MustCompile(`"parent_span_id":"[0-9a-f]+"`)
	for name, c := range map[string]struct {
		damage func(lines []string) ([]string, int) // and the line that must be named, from 0
		rule   string
		says   string
	}{
		"an EXIT is missing": {func(l []string) ([]string, int) {
			enter, at := lineOf(l, "ENTER", "append"), lineOf(l, "EXIT", "append")
			return append(l[:at], l[at+1:]...), enter
		}, RuleExit, "no EXIT"},
		"an ENTER is missing": {func(l []string) ([]string, int) {
			at, exit := lineOf(l, "ENTER", "append"), lineOf(l, "EXIT", "append")
			return append(l[:at], l[at+1:]...), exit - 1
		}, RuleExit, "an EXIT without an ENTER"},
		"two EXITs": {func(l []string) ([]string, int) {
			at := lineOf(l, "EXIT", "append")
			l[at] += "\n" + l[at]
			return l, at + 1
		}, RuleExit, "a second EXIT"},
		"two ENTERs": {func(l []string) ([]string, int) {
			at := lineOf(l, "ENTER", "append")
			l[at] += "\n" + l[at]
			return l, at + 1
		}, RuleExit, "a second ENTER"},
		"another's EXIT": {func(l []string) ([]string, int) {
			at := lineOf(l, "EXIT", "append")
			l[at] = strings.Replace(l[at], `"append"`, `"remove"`, 1)
			return l, at
		}, RuleExit, "the EXIT of what store.append began"},
		"no such parent": {func(l []string) ([]string, int) {
			at := lineOf(l, "ENTER", "append")
			l[at] = parent.ReplaceAllString(l[at], `"parent_span_id":"00000000000000aa"`)
			return l, at
		}, RuleParent, "its parent 00000000000000aa is not in the log"},
		"a child before its parent": {func(l []string) ([]string, int) {
			at := lineOf(l, "ENTER", "deliver")
			l[at] = shift(l[at], -5)
			exit := lineOf(l, "EXIT", "deliver")
			l[exit] = took(l[exit], 5600)
			return l, at
		}, RuleNesting, " ms before its parent relay.relay"},
		"a child after its parent": {func(l []string) ([]string, int) {
			enter, exit, end := lineOf(l, "ENTER", "append"), lineOf(l, "EXIT", "append"), lineOf(l, "EXIT", "receive")
			late := []string{shift(l[enter], 9), shift(l[exit], 9)}
			l = append(l[:end+1], append(late, l[end+1:]...)...)
			return append(l[:enter], append(l[enter+1:exit], l[exit+1:]...)...), end - 1
		}, RuleNesting, "ms after its parent rooms.receive ended"},
		"a child that outlives its parent": {func(l []string) ([]string, int) {
			at := lineOf(l, "EXIT", "append")
			l[at] = took(shift(l[at], 9), 9100)
			return l, at
		}, RuleNesting, " ms after its parent rooms.receive (line"},
		"a duration that is not": {func(l []string) ([]string, int) {
			at := lineOf(l, "EXIT", "append")
			l[at] = took(l[at], 12_000)
			return l, at
		}, RuleDuration, "durationMicros is 12000, but its lines are 0 ms apart"},
		"a duration that is too short": {func(l []string) ([]string, int) {
			at := lineOf(l, "EXIT", "deliver")
			l[at] = shift(l[at], 9)
			return l, at
		}, RuleDuration, " ms apart"},
		"a child that ends when its parent has": {func(l []string) ([]string, int) {
			exit, end := lineOf(l, "EXIT", "append"), lineOf(l, "EXIT", "receive")
			late := took(shift(l[exit], 9), 9100)
			l = append(l[:end+1], append([]string{late}, l[end+1:]...)...)
			return append(l[:exit], l[exit+1:]...), end
		}, RuleNesting, " ms after its parent rooms.receive (line"},
		"milliseconds that are not": {func(l []string) ([]string, int) {
			at := lineOf(l, "EXIT", "append")
			l[at] = strings.Replace(l[at], `"durationMillis":0`, `"durationMillis":7`, 1)
			return l, at
		}, RuleDuration, "durationMillis is 7"},
		"no duration": {func(l []string) ([]string, int) {
			at := lineOf(l, "EXIT", "append")
			l[at] = micros.ReplaceAllString(l[at], `"x":0`)
			return l, at
		}, RuleDuration, "no durationMicros"},
		"no line": {func(l []string) ([]string, int) {
			l[5] += "\n{"
			return l, 6
		}, RuleLine, "not whole"},
	} {
		t.Run(name, func(t *testing.T) {
			lines, at := c.damage(strings.Split(strings.TrimSpace(string(sound())), "\n"))
			log := strings.Join(lines, "\n") + "\n"
			out, _, status := call(t, nil, "check", logFile(t, []byte(log)))
			require.Equal(t, StatusFindings, status)
			require.Contains(t, out, fmt.Sprintf(":%d: %s: ", at+1, c.rule))
			require.Contains(t, out, c.says)

			r, err := Check(context.Background(), strings.NewReader(log), CheckOptions{MaxProblems: 5, Name: "log"})
			require.NoError(t, err)
			require.NotZero(t, r.Found)
			require.Contains(t, fmt.Sprint(r.Problems), c.says)
			require.Equal(t, "log", r.Problems[0].File)
		})
	}
}

// What runs on behind its parent is not a fault, and neither is the time that a timestamp cannot tell.
func TestCheckLetsPass(t *testing.T) {
	c := newChat(1)
	c.late = 30_000 // joins and deliveries go on for so long
	k := c.connect("general", "ann")
	c.say(k, "00f067aa0ba902b7", 0, "")
	c.late = 0
	c.now = (c.now/1000+1)*1000 - 1 // the next operations straddle a millisecond
	for range 300 {
		c.say(k, "", 0, "")
		c.say(k, "", 2, "")
	}
	r, err := Check(context.Background(), c.w, CheckOptions{MaxProblems: 9})
	require.NoError(t, err)
	require.Empty(t, r.Problems)
	require.EqualValues(t, c.spans, r.Spans)
}

// Any part of a sound log passes with AllowOpen, and not without.
func TestCheckOfAPart(t *testing.T) {
	lines := bytes.SplitAfter(sound(), []byte("\n"))
	for from := 0; from < len(lines)-50; from += 7 {
		part := bytes.Join(lines[from:from+40], nil)
		r, err := Check(context.Background(), bytes.NewReader(part), CheckOptions{AllowOpen: true, MaxProblems: 9})
		require.NoError(t, err)
		require.Empty(t, r.Problems, "lines %d to %d", from, from+40)
	}
	r, err := Check(context.Background(), bytes.NewReader(bytes.Join(lines[9:40], nil)), CheckOptions{})
	require.NoError(t, err)
	require.NotZero(t, r.Found)
	require.Empty(t, r.Problems)
}

func TestCheckNamesAsManyAsAsked(t *testing.T) {
	var log bytes.Buffer
	for i := range 500 {
		fmt.Fprintf(&log, `{"timestamp":5,"event":"ENTER","function":"f","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"%016x"}`+"\n", i+1)
	}
	out, _, status := call(t, nil, "check", "--max-problems", "3", logFile(t, log.Bytes()))
	require.Equal(t, StatusFindings, status)
	require.Equal(t, 4, strings.Count(out, "\n"))
	require.Contains(t, out, "500 problems in 500 lines, 500 spans (the first 3 are named)")
}
