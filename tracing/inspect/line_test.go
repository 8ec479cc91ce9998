package inspect

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	enterLine = `{"timestamp":1635789012345,"event":"ENTER","thread":"conn-17","module":"rooms","function":"broadcast","args":"{\"room_id\":\"general\",\"client_id\":\"user123\"}","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","parent_span_id":"0102030405060708","linked_trace_id":"0af7651916cd43dd8448eb211c80319c","linked_span_id":"b7ad6b7169203331"}`
	exitLine  = `{"timestamp":1635789012346,"event":"EXIT","thread":"conn-17","module":"rooms","function":"broadcast","result":"store: \"chat\" is locked","exception":{"type":"*sqlite.Error","message":"\"chat\" is locked"},"durationMicros":740,"durationMillis":0,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}`
)

func TestServersLinesAreReadFast(t *testing.T) {
	var l line
	for _, b := range bytes.Split(bytes.TrimSpace(small()), []byte("\n")) {
		require.True(t, scanLine(b, &l), "%s", b)
	}
	require.True(t, scanLine([]byte(enterLine), &l))
	require.True(t, scanLine([]byte(exitLine), &l))
	var p parser
	b := []byte(exitLine)
	allocs := testing.AllocsPerRun(100, func() { _ = p.parse(b, &l) })
	require.Zero(t, allocs)
}

func TestLineFields(t *testing.T) {
	var p parser
	var l line
	require.NoError(t, p.parse([]byte(enterLine), &l))
	require.Equal(t, enter, l.event)
	require.EqualValues(t, 1635789012345, l.stamp)
	require.Equal(t, "conn-17", string(l.thread))
	require.Equal(t, "rooms", string(l.module))
	require.Equal(t, "broadcast", string(l.function))
	require.Equal(t, `{"room_id":"general","client_id":"user123"}`, string(l.args.decode(nil)))
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", l.trace.String())
	require.Equal(t, "00f067aa0ba902b7", l.span.String())
	require.Equal(t, "0102030405060708", l.parent.String())
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", l.linkTo.trace.String())
	require.Equal(t, "b7ad6b7169203331", l.linkTo.span.String())
	require.False(t, l.failed)
	require.EqualValues(t, -1, l.micros)

	require.NoError(t, p.parse([]byte(exitLine), &l))
	require.Equal(t, exit, l.event)
	require.True(t, l.failed)
	require.EqualValues(t, 740, l.micros)
	require.EqualValues(t, 0, l.millis)
	require.Equal(t, "*sqlite.Error", string(l.excType.decode(nil)))
	require.Equal(t, `"chat" is locked`, string(l.excText.decode(nil)))
	require.Equal(t, `store: "chat" is locked`, string(l.result.decode(nil)))
	require.Zero(t, l.parent)
}

func TestOtherShapes(t *testing.T) {
	ids := `"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"`
	for name, c := range map[string]struct {
		line  string
		check func(*testing.T, *line)
	}{
		"spaces": {`{ "timestamp" : 5, "event": "ENTER", "function": "f", ` + ids + ` }`, func(t *testing.T, l *line) {
			require.EqualValues(t, 5, l.stamp)
		}},
		"a number as zap writes large floats": {`{"timestamp":1.635789012345e+12,"event":"EXIT","function":"f",` + ids + `}`, func(t *testing.T, l *line) {
			require.EqualValues(t, 1635789012345, l.stamp)
		}},
		"args as an object": {`{"timestamp":5,"event":"ENTER","function":"f","args":{"room_id":"general"},` + ids + `}`, func(t *testing.T, l *line) {
			require.Equal(t, `{"room_id":"general"}`, string(l.args.decode(nil)))
		}},
		"an exception that is a text": {`{"timestamp":5,"event":"EXIT","function":"f","exception":"boom",` + ids + `}`, func(t *testing.T, l *line) {
			require.True(t, l.failed)
			require.Equal(t, "boom", string(l.excText.decode(nil)))
		}},
		"no exception": {`{"timestamp":5,"event":"EXIT","function":"f","exception":null,` + ids + `}`, func(t *testing.T, l *line) {
			require.False(t, l.failed)
		}},
		"escapes in a name": {`{"timestamp":5,"event":"EXIT","function":"GET \/rooms",` + ids + `}`, func(t *testing.T, l *line) {
			require.Equal(t, "GET /rooms", string(l.function))
		}},
		"members nobody knows": {`{"timestamp":5,"event":"EXIT","function":"f","links":["a-b",{"x":[1.5,-2e3,true,null]}],"node":"n1",` + ids + `}`, nil},
		"broken UTF-8":         {"{\"timestamp\":5,\"event\":\"EXIT\",\"function\":\"f\",\"result\":\"a\xffb\"," + ids + `}`, func(t *testing.T, l *line) { require.Equal(t, "a\uFFFDb", string(l.result.decode(nil))) }},
		"surrogates":           {`{"timestamp":5,"event":"EXIT","function":"f","result":"\ud83d\ude00 \ud83d \u00e9\n",` + ids + `}`, func(t *testing.T, l *line) { require.Equal(t, "😀 \uFFFD é\n", string(l.result.decode(nil))) }},
	} {
		t.Run(name, func(t *testing.T) {
			var p parser
			var l line
			require.NoError(t, p.parse([]byte(c.line), &l))
			if c.check != nil {
				c.check(t, &l)
			}
		})
	}
}

func TestBadLinesSayWhy(t *testing.T) {
	without := func(member string) string {
		from := strings.Index(enterLine, `"`+member+`"`)
		to := strings.Index(enterLine[from:], `,"`)
		return enterLine[:from] + enterLine[from+to+1:]
	}
	for why, b := range map[string]string{
		"not whole":                     enterLine[:100],
		"not JSON":                      strings.Replace(enterLine, `"event":`, `"event" `, 1),
		"not a JSON object":             `INFO listening on :8000`,
		"no timestamp":                  without("timestamp"),
		"no event":                      without("event"),
		"no function":                   without("function"),
		"no trace_id":                   without("trace_id"),
		"no span_id":                    without("span_id"),
		"neither ENTER nor EXIT":        strings.Replace(enterLine, "ENTER", "EXCEPTION", 1),
		"timestamp is not a number":     strings.Replace(enterLine, "1635789012345", `"2021"`, 1),
		"timestamp is not in Unix mill": strings.Replace(enterLine, "1635789012345", "1635789012345000", 1),
		"trace_id is not 32":            strings.Replace(enterLine, "4bf92f", "4bf9g", 1),
		"span_id is not 16":             strings.Replace(enterLine, "00f067", "00f06z", 1),
		"durationMicros is no duration": strings.Replace(exitLine, "740", "-740", 1),
	} {
		var p parser
		var l line
		err := p.parse([]byte(b), &l)
		require.ErrorContains(t, err, why, "%s", b)
	}
}

// The fast path must read a line exactly as encoding/json does, or leave it alone.
func FuzzParse(f *testing.F) {
	f.Add([]byte(enterLine))
	f.Add([]byte(exitLine))
	for _, b := range bytes.Split(small(), []byte("\n")) {
		f.Add(b)
	}
	f.Add([]byte(`{"timestamp":1,"timestamp":2,"event":"EXIT","function":"f","exception":{"a":[{}],"type":"\ud800\u0041"},"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var fast, slow line
		if !scanLine(b, &fast) {
			var p parser
			_ = p.parse(b, &slow)
			return
		}
		var p parser
		if err := p.parseAny(b, &slow); err != nil {
			t.Fatalf("read %q, which is bad: %v", b, err)
		}
		same := func(what string, x, y []byte) {
			if !bytes.Equal(x, y) {
				t.Fatalf("%s of %q: %q, not %q", what, b, x, y)
			}
		}
		for _, v := range []struct {
			what string
			x, y text
		}{
			{"args", fast.args, slow.args}, {"result", fast.result, slow.result},
			{"exception.type", fast.excType, slow.excType}, {"exception.message", fast.excText, slow.excText},
			{"thread", text{raw: fast.thread}, text{raw: slow.thread}}, {"module", text{raw: fast.module}, text{raw: slow.module}},
			{"function", text{raw: fast.function}, text{raw: slow.function}},
		} {
			same(v.what, v.x.decode(nil), v.y.decode(nil))
		}
		numbers := func(l *line) []any {
			return []any{l.event, l.failed, l.stamp, l.micros, l.millis, l.trace, l.span, l.parent, l.linkTo}
		}
		require.Equal(t, numbers(&slow), numbers(&fast), "%q", b)

		// What is decoded can be walked over and written again.
		args := fast.args.decode(nil)
		for w := over(args); ; {
			_, v, ok := w.next()
			if !ok {
				break
			}
			clean(nil, v.decode(nil))
		}
		var again line
		b = append(append(append([]byte(`{"args":`), text{raw: args}.quote(nil)...), ','), b[1:]...)
		_ = p.parse(b, &again)
	})
}

func TestFieldsStopWhereTheLogCut(t *testing.T) {
	got := func(s string) (out []string) {
		f := over([]byte(s))
		for {
			k, v, ok := f.next()
			if !ok {
				return out
			}
			out = append(out, string(k.raw)+"="+string(v.raw))
		}
	}
	require.Equal(t, []string{"a=b", "n=-1.5e3", "o={}", "l=[1,2]"}, got(`{"a":"b", "n":-1.5e3,"o":{},"l":[1,2]}`))
	require.Equal(t, []string{"a=b"}, got(`{"a":"b","c":"ddd...(truncated)`))
	require.Equal(t, []string{"a=b"}, got(`{"a":"b","c":12...(truncated)`), "half a number is no number")
	require.Empty(t, got(`store: locked`))
	require.Empty(t, got(``))
}
