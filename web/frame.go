package web

import (
	"encoding/json"
	"errors"
	"fmt"

	fast "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/traceroom/traceroom/rooms"
)

// Codes of error frames, besides those of package rooms.
const (
	codeBadJSON     rooms.Code = "bad_json"
	codeUnknownType rooms.Code = "unknown_type"
	codeRateLimited rooms.Code = "rate_limited"
)

// maxTrace is how many bytes a traceparent may have; a longer one is ignored.
const maxTrace = 512

// frame is the JSON object that a client sends as a text message (see asyncapi.yaml).
type frame struct {
	Type        string `json:"type"`
	Text        string `json:"text"`
	TraceParent string `json:"traceparent"`
	TraceState  string `json:"tracestate"`
	Ref         string `json:"ref"`
}

// duplicates makes the last of several fields with one name count, as in encoding/json.
var duplicates = jsontext.AllowDuplicateNames(true)

// parseFrame reads a client's frame. An error is a *rooms.Error for the client; the frame then has its ref, if it has a
// valid one.
func parseFrame(p []byte) (frame, error) {
	var f frame
	if fast.Unmarshal(p, &f, duplicates) == nil {
		return f.check()
	}
	// It is malformed. encoding/json gives errors that say where.
	f = frame{}
	if err := json.Unmarshal(p, &f); err != nil {
		ref := f.Ref
		if rooms.CheckRef("ref", ref) != nil {
			ref = ""
		}
		var typeErr *json.UnmarshalTypeError
		if errors.As(err, &typeErr) && typeErr.Field != "" {
			return frame{Ref: ref}, &rooms.Error{Code: rooms.CodeInvalid, Field: typeErr.Field,
				Detail: fmt.Sprintf("%s must be a string", typeErr.Field)}
		}
		return frame{Ref: ref}, &rooms.Error{Code: codeBadJSON, Detail: `a frame is a JSON object such as {"type":"message","text":"…"}`}
	}
	return f.check()
}

// check returns the frame, or an error if a field is wrong.
func (f frame) check() (frame, error) {
	if err := rooms.CheckRef("ref", f.Ref); err != nil {
		f.Ref = ""
		return f, err
	}
	if f.Type != "message" && f.Type != "typing" {
		return f, &rooms.Error{Code: codeUnknownType, Field: "type", Detail: "type must be message or typing"}
	}
	// A traceparent that is too long is ignored. How much of a tracestate is used is for package tracing to say.
	if len(f.TraceParent) > maxTrace {
		f.TraceParent, f.TraceState = "", ""
	}
	return f, nil
}
