package socketio

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

// text returns the payload of the first frame in b, and whether there is more.
func text(t *testing.T, b []byte) (string, bool) {
	t.Helper()
	head, n := 2, int(b[1])
	if n == 126 {
		head, n = 4, int(b[2])<<8|int(b[3])
	}
	return string(b[head : head+n]), len(b) > head+n
}

func TestEventsAreEncodedAsTheDocumentSays(t *testing.T) {
	for _, tc := range []struct {
		namespace, name string
		args            []any
		want            string
	}{
		{"/", "foo", nil, `42["foo"]`},
		{"", "foo", nil, `42["foo"]`},
		{"/admin", "bar", nil, `42/admin,["bar"]`},
		{"/", "a", []any{1, "<&>", nil, map[string]any{"k": true}, json.RawMessage(`{"x": 1}`), json.RawMessage(nil)},
			`42["a",1,"<&>",null,{"k":true},{"x": 1},null]`},
		{"/", "baz", []any{[]byte{1}}, `451-["baz",{"_placeholder":true,"num":0}]`},
		{"/admin", "baz", []any{[]byte{1}, 5, []byte{}}, `452-/admin,["baz",{"_placeholder":true,"num":0},5,{"_placeholder":true,"num":1}]`},
		{"/", "deep", []any{map[string]any{"a": []byte{1}, "b": []any{[]byte{2}, "x", []byte(nil)}}, []byte{3}, struct {
			Photo []byte            `json:"photo"`
			Raw   json.RawMessage   `json:"raw"`
			Named map[string][]byte `json:"named,omitempty"`
		}{[]byte{4}, json.RawMessage(`"<1>"`), nil}},
			`454-["deep",{"a":{"_placeholder":true,"num":0},"b":[{"_placeholder":true,"num":1},"x",null]},` +
				`{"_placeholder":true,"num":2},{"photo":{"_placeholder":true,"num":3},"raw":"<1>"}]`},
		{"/", "plain", []any{map[string]any{"z": 1.5, "a": "\u2028", "bytes": [2]byte{1, 2}}, []string(nil), "\xff"},
			`42["plain",{"a":"\u2028","bytes":[1,2],"z":1.5},null,"�"]`},
		{"/", "q\"\\\n€", nil, `42["q\"\\\n€"]`},
		{"/", "all", []any{Args{values: []json.RawMessage{[]byte(`1.0`), []byte(`"<"`)}}}, `42["all",1.0,"<"]`},
	} {
		b, err := Encode(tc.namespace, tc.name, tc.args...)
		require.NoError(t, err)
		got, more := text(t, b)
		require.Equal(t, tc.want, got)
		require.Equal(t, strings.HasPrefix(tc.want, "45"), more)
	}
}

func TestWhatIsNotJSONCannotBeSent(t *testing.T) {
	for _, raw := range []string{"{", `{"a":1`, "1 2", `"a`, "nul", `1],["b"`} {
		for _, arg := range []any{json.RawMessage(raw), map[string]any{"x": json.RawMessage(raw)}, []json.RawMessage{json.RawMessage(raw)}} {
			_, err := Encode("/", "x", arg)
			require.Error(t, err, raw)
		}
	}
}

func TestAttachmentsAreSentInTheOrderOfTheirNumbers(t *testing.T) {
	b, err := Encode("/", "x", []byte("first"), map[string]any{"b": []byte("third"), "a": []byte("second")}, []byte("fourth"))
	require.NoError(t, err)
	var got []string
	for at := 0; at < len(b); {
		n := int(b[at+1])
		head := 2
		if n == 126 {
			n, head = int(b[at+2])<<8|int(b[at+3]), 4
		}
		got = append(got, string(b[at+head:at+head+n]))
		at += head + n
	}
	require.Equal(t, []string{"first", "second", "third", "fourth"}, got[1:])
}

func TestReservedNamesHaveNoHandlers(t *testing.T) {
	s := NewServer(Options{})
	defer s.Close(t.Context())
	n := s.Of("/")
	for _, name := range reserved {
		require.Panics(t, func() { n.On(name, nil) }, name)
	}
	n.On("message", nil)
}

func TestAppendEventIsTheSameAsEncode(t *testing.T) {
	for _, n := range []int{0, 80, 100, 110, 126, 65500, 65536} {
		arg := json.RawMessage(`"` + strings.Repeat("x", n) + `"`)
		for _, namespace := range []string{"/", "/admin"} {
			want, err := Encode(namespace, "new_message", arg)
			require.NoError(t, err)
			got := AppendEvent([]byte("before"), namespace, "new_message", arg)
			require.Equal(t, "before"+string(want), string(got))
		}
	}
	buf := make([]byte, 0, 1024)
	arg := []byte(`{"text":"hello"}`)
	require.Zero(t, testing.AllocsPerRun(100, func() { AppendEvent(buf, "/", "new_message", arg) }))
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"0", "0/admin,", `0{"token":"x"}`, `0/admin,{"sid":"x"}`, "1", "1/admin,", `2["foo"]`, `2/admin,["bar"]`, `212["foo"]`,
		`3/admin,13["bar"]`, `4{"message":"no"}`, `51-["baz",{"_placeholder":true,"num":0}]`,
		`52-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, `61-15["bar",{"_placeholder":true,"num":0}]`,
		`2[ "a" , "]\"," , {"b":[1,2]} ]`, "", "9", "2[]", `2/`, `20["x"]`, `2["\u0064isconnect"]`, `30[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decode(data, 10)
		if err != nil {
			return
		}
		if !strings.HasPrefix(p.namespace, "/") || p.attachments > 10 {
			t.Fatalf("%q gave %+v", data, p)
		}
		if p.kind == connect || p.kind == disconnect || p.kind == connectError {
			return
		}
		var want []json.RawMessage
		if err := json.Unmarshal(p.data, &want); err != nil {
			t.Fatalf("%q is no array: %v", p.data, err)
		}
		got := split(p.data)
		if len(got) != len(want) {
			t.Fatalf("%q was split into %d", p.data, len(got))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("element %d of %q is %q", i, p.data, got[i])
			}
		}
		if p.kind == ack || p.kind == binaryAck || len(got) == 0 {
			return
		}
		name, err := eventName(got[0])
		if err != nil {
			return
		}
		// What is passed on under the same name is read as the same again.
		var id *uint64
		if p.hasID {
			id = &p.id
		}
		again, err := encode(event, p.namespace, id, &name, []any{Args{got[1:], make([][]byte, p.attachments)}})
		if err != nil {
			t.Fatal(err)
		}
		packet, err := engineio.DecodePacket(payload(again), false)
		if err != nil {
			t.Fatal(err)
		}
		q, err := decode(packet.Data, 10)
		if err != nil || q.kind != p.kind || q.namespace != p.namespace || q.id != p.id || q.hasID != p.hasID {
			t.Fatalf("%q came back as %q: %+v, %v", data, packet.Data, q, err)
		}
		if len(split(q.data)) != len(got) {
			t.Fatalf("%q came back as %q", p.data, q.data)
		}
		for i, v := range split(q.data)[1:] {
			if !bytes.Equal(v, got[i+1]) {
				t.Fatalf("argument %d of %q came back as %q", i, p.data, v)
			}
		}
	})
}

// payload cuts the header off the first frame in b, and frames of no bytes off its end.
func payload(b []byte) []byte {
	for bytes.HasSuffix(b, []byte{0x82, 0}) {
		b = b[:len(b)-2]
	}
	switch b[1] {
	case 126:
		return b[4:]
	case 127:
		return b[10:]
	}
	return b[2:]
}
