package rooms

import "errors"

// Code classifies an Error for programs. Clients are shown it.
type Code string

// The codes. CodeUnavailable means that the server could not do it now; the others, that the request cannot be done.
const (
	CodeInvalid     Code = "invalid"
	CodeEmptyText   Code = "empty_text"
	CodeTextTooLong Code = "text_too_long"
	CodeNotFound    Code = "not_found"
	CodeConflict    Code = "conflict"
	CodeLimit       Code = "limit_reached"
	CodeUnavailable Code = "unavailable"
)

// Error is a refusal that may be shown to the client: Detail says which field is at fault and what it must be, and nothing about the
// inside of the server. Cause, if not nil, is for the log only.
type Error struct {
	Code   Code
	Field  string // the field at fault; empty: no single one is
	Detail string
	Cause  error
}

// Error returns the detail, followed by the cause if there is one.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Detail + ": " + e.Cause.Error()
	}
	return e.Detail
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is makes errors.Is(err, ErrNotFound) and its like compare codes.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Field == ""
}

// Targets for errors.Is.
var (
	ErrInvalid     = &Error{Code: CodeInvalid, Detail: "invalid"}
	ErrNotFound    = &Error{Code: CodeNotFound, Detail: "not found"}
	ErrConflict    = &Error{Code: CodeConflict, Detail: "conflict"}
	ErrUnavailable = &Error{Code: CodeUnavailable, Detail: "unavailable"}
)

// NotFound returns the Error for something ("room") that does not exist; field is the field that named it.
func NotFound(what, field, id string) *Error {
	return &Error{Code: CodeNotFound, Field: field, Detail: what + " " + id + " does not exist"}
}

// NotKnown returns the Error for a message that may or may not have been stored, because of cause.
func NotKnown(cause error) *Error {
	return &Error{
		Code: CodeUnavailable, Cause: cause,
		Detail: "whether the message was stored is not known; sent again with the same ref or Idempotency-Key, it is stored once",
	}
}

// AsError returns err as an *Error. Any other error is the server's own fault: CodeUnavailable, with err as the cause.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeUnavailable, Detail: "the server cannot do this now; try again", Cause: err}
}
