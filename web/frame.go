package web

import (
	"encoding/json"
	"errors"
	"fmt"

	fast "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/traceroom/traceroom/rooms"
)

// Codes of error frames besides those of rooms.
const (
	codeBadJSON     rooms.Code = "bad_json"
	codeUnknownType rooms.Code = "unknown_type"
	codeRateLimited rooms.Code = "rate_limited"
)

// maxTrace is the length in bytes of the longest traceparent that is looked at.
const maxTrace = 512

// frame is what a client says, in the WebSocket contract.
type frame struct {
	Type        string `json:"type"`
	Text        string `json:"text"`
	TraceParent string `json:"traceparent"`
	TraceState  string `json:"tracestate"`
	Ref         string `json:"ref"`
}

// duplicates lets the last of several fields of one name count, as encoding/json does.
var duplicates = jsontext.AllowDuplicateNames(true)

// parseFrame reads a client's frame. An error is a *rooms.Error for the client; the frame then has the ref if there was
// one that can be told.
func parseFrame(p []byte) (frame, error) {
	var f frame
	if fast.Unmarshal(p, &f, duplicates) == nil {
		return f.check()
	}
	// It is wrong, and this says better in which way.
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

// check returns the frame, or what is wrong with it.
func (f frame) check() (frame, error) {
	if err := rooms.CheckRef("ref", f.Ref); err != nil {
		f.Ref = ""
		return f, err
	}
	if f.Type != "message" && f.Type != "typing" {
		return f, &rooms.Error{Code: codeUnknownType, Field: "type", Detail: "type must be message or typing"}
	}
	// A traceparent that is too long is as good as none. Of a tracestate, as much is taken as tracing bounds it to.
	if len(f.TraceParent) > maxTrace {
		f.TraceParent, f.TraceState = "", ""
	}
	return f, nil
}
