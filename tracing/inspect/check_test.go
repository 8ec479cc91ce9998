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

var runs int // so far, so that each has spans of its own

// wholeRun is a server's log from its start to its end, with the given lines between them.
func wholeRun(between ...string) []string {
	runs++
	ids := fmt.Sprintf(`"trace_id":"4bf92f3577b34da6a3ce929d%08x","span_id":`, runs)
	lines := []string{
		`{"timestamp":1000,"event":"ENTER","thread":"main","module":"app","function":"start","args":"{}",` + ids + `"00000000000000a1"}`,
		`{"timestamp":1000,"event":"EXIT","thread":"main","module":"app","function":"start","result":"{}","durationMicros":5,"durationMillis":0,` + ids + `"00000000000000a1"}`,
	}
	lines = append(lines, between...)
	return append(lines,
		`{"timestamp":90000,"event":"ENTER","thread":"main","module":"app","function":"drain","args":"{}",`+ids+`"00000000000000a2"}`,
		`{"timestamp":90000,"event":"EXIT","thread":"main","module":"app","function":"drain","result":"{}","durationMicros":5,"durationMillis":0,`+ids+`"00000000000000a2"}`)
}

func opened(at, id int, parent string) string {
	return fmt.Sprintf(`{"timestamp":%d,"event":"ENTER","thread":"http","module":"store","function":"append","args":"{}","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"%016x"%s}`, at, id, parent)
}

func ended(at, id, millis int) string {
	return fmt.Sprintf(`{"timestamp":%d,"event":"EXIT","thread":"http","module":"store","function":"append","result":"{}","durationMicros":%d,"durationMillis":%d,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"%016x"}`, at, millis*1000, millis, id)
}

func TestCheckKnowsOfHolesAndKills(t *testing.T) {
	const (
		lost  = `{"timestamp":5000,"event":"LOST","thread":"main","module":"app","function":"log","lines":7,"from":4000,"to":5000}`
		child = `,"parent_span_id":"00000000000000ff"`
	)
	join := func(lines ...string) string { return strings.Join(lines, "\n") + "\n" }
	run := func(between ...string) string { return join(wholeRun(between...)...) }
	killed := func(between ...string) string {
		lines := wholeRun(between...)
		return join(lines[:len(lines)-2]...)
	}
	for name, c := range map[string]struct {
		log   string
		found int
	}{
		"nothing":                                   {run(), 0},
		"an EXIT is missing":                        {run(opened(3900, 1, "")), 1},
		"its EXIT is in a hole":                     {run(opened(3900, 1, ""), lost), 0},
		"its EXIT is missing behind the hole":       {run(lost, opened(5100, 1, "")), 1},
		"its ENTER is in a hole":                    {run(lost, ended(5200, 1, 700)), 0},
		"its ENTER is missing before the hole":      {run(lost, ended(5200, 1, 4000)), 1},
		"its ENTER is missing behind the hole":      {run(lost, ended(5200, 1, 50)), 1},
		"its ENTER is missing, and there is a hole": {run(ended(4500, 1, 100), lost), 1},
		"its parent is in a hole":                   {run(lost, opened(5100, 1, child), ended(5101, 1, 1)), 0},
		"its parent is missing":                     {run(opened(3900, 1, child), ended(3901, 1, 1), lost), 1},
		"half a line before a hole":                 {run(opened(3900, 1, "")[:50], lost), 0},
		"half a line":                               {run(opened(3900, 1, "")[:50]), 1},
		"killed":                                    {killed(opened(3900, 1, "")), 0},
		"killed in the middle of a line":            {killed(opened(3900, 1, "")) + opened(3901, 2, "")[:70], 0},
		"killed, and started again":                 {killed(opened(3900, 1, "")) + run(), 0},
		"torn, and started again":                   {killed(opened(3900, 1, "")) + opened(3901, 2, "")[:70] + "\n" + run(), 0},
		"torn, and started again in the line":       {killed(opened(3900, 1, "")) + opened(3901, 2, "")[:70] + run(), 0},
		"killed twice":                              {killed(opened(3900, 1, "")) + killed(opened(3900, 2, "")) + run(), 0},
		"killed, but open for too long":             {killed(opened(3900, 1, ""), opened(70_000, 2, ""), ended(70_001, 2, 1)), 1},
		"stopped with something open, and started":  {run(opened(3900, 1, "")) + run(), 1},
		"a rotated log of a server that was killed": {join(opened(3900, 1, "")) + run(), 0},
		"no JSON before a start":                    {killed() + "\x00\x00\x00\n" + run(), 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Check(context.Background(), strings.NewReader(c.log), CheckOptions{MaxProblems: 9})
			require.NoError(t, err)
			require.EqualValues(t, c.found, r.Found, "%v", r.Problems)
			if strings.Contains(c.log, "LOST") {
				require.EqualValues(t, 7, r.Lost)
			}
			_, errs, status := call(t, nil, "check", logFile(t, []byte(c.log)))
			require.Equal(t, c.found > 0, status == StatusFindings, errs)
		})
	}
	out, _, _ := call(t, nil, "check", logFile(t, []byte(killed(opened(3900, 1, ""), lost))))
	require.Contains(t, out, "ok: ")
	require.Contains(t, out, "1 server killed or still running; 7 lines could not be written and are missing")
	_, errs, status := call(t, nil, "top", logFile(t, []byte(run(lost))))
	require.Zero(t, status)
	require.Contains(t, errs, "7 lines could not be written to the log and are missing")
}
