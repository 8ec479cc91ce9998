package web

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
)

func TestAFrameIsReadOrRefused(t *testing.T) {
	long := strings.Repeat("x", maxTrace+1)
	for name, test := range map[string]struct {
		in   string
		want frame
		code rooms.Code // empty: none
	}{
		"message":                   {`{"type":"message","text":"hi"}`, frame{Type: "message", Text: "hi"}, ""},
		"all fields":                {`{"type":"message","text":"hi","traceparent":"a","tracestate":"b","ref":"c"}`, frame{"message", "hi", "a", "b", "c"}, ""},
		"typing":                    {` {"type":"typing"} `, frame{Type: "typing"}, ""},
		"more than is known":        {`{"type":"typing","colour":{"red":[1]}}`, frame{Type: "typing"}, ""},
		"escapes":                   {`{"type":"message","text":"\u00e9\ud83d\udc4b\n\"\\"}`, frame{Type: "message", Text: "é👋\n\"\\"}, ""},
		"half of a surrogate":       {`{"type":"message","text":"\ud83d"}`, frame{Type: "message", Text: "\uFFFD"}, ""},
		"too long a traceparent":    {`{"type":"message","traceparent":"` + long + `","tracestate":"b"}`, frame{Type: "message"}, ""},
		"a long tracestate":         {`{"type":"message","traceparent":"a","tracestate":"` + long + `"}`, frame{Type: "message", TraceParent: "a", TraceState: long}, ""},
		"null fields":               {`{"type":"message","text":null}`, frame{Type: "message"}, ""},
		"nothing":                   {``, frame{}, codeBadJSON},
		"cut off":                   {`{"type":"message"`, frame{}, codeBadJSON},
		"two":                       {`{"type":"typing"}{"type":"typing"}`, frame{}, codeBadJSON},
		"an array":                  {`[]`, frame{}, codeBadJSON},
		"a string":                  {`"message"`, frame{}, codeBadJSON},
		"null":                      {`null`, frame{}, codeUnknownType},
		"a number as type":          {`{"type":1,"ref":"r"}`, frame{Ref: "r"}, rooms.CodeInvalid},
		"a number as ref":           {`{"type":"message","ref":1}`, frame{}, rooms.CodeInvalid},
		"unknown":                   {`{"type":"user_left","ref":"r"}`, frame{Type: "user_left", Ref: "r"}, codeUnknownType},
		"too long a ref":            {`{"type":"message","ref":"` + strings.Repeat("r", rooms.MaxRefLength+1) + `"}`, frame{Type: "message"}, rooms.CodeInvalid},
		"too long a ref, and wrong": {`{"type":1,"ref":"` + strings.Repeat("r", rooms.MaxRefLength+1) + `"}`, frame{}, rooms.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseFrame([]byte(test.in))
			require.Equal(t, test.want, got)
			if test.code == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, test.code, rooms.AsError(err).Code)
			require.NotEmpty(t, rooms.AsError(err).Detail)
		})
	}
}

func FuzzParseFrame(f *testing.F) {
	for _, s := range []string{
		`{"type":"message","text":"hi","ref":"r","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`,
		`{"type":"typing"}`, `{"type":1}`, `[]`, `null`, `{`, "{\"text\":\"\xff\"}", `{"TYPE":"message"}`, `{"type":"message","type":"typing"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		got, err := parseFrame(p)
		require.NoError(t, rooms.CheckRef("ref", got.Ref))
		require.LessOrEqual(t, len(got.TraceParent), maxTrace)
		if err != nil {
			e := rooms.AsError(err)
			require.NotEqual(t, rooms.CodeUnavailable, e.Code, "it is the client's fault")
			requireFrame(t, appendError(nil, e.Code, e.Detail, got.Ref))
			return
		}
		require.True(t, json.Valid(p))
		require.Contains(t, []string{"message", "typing"}, got.Type)
		require.True(t, utf8.ValidString(got.Text))
	})
}
