package rooms

import "errors"

// Code classifies an Error for programs; clients are shown it.
type Code string

// The codes of what a caller can have done wrong, and CodeUnavailable for what the server could not do now.
const (
	CodeInvalid     Code = "invalid"
	CodeEmptyText   Code = "empty_text"
	CodeTextTooLong Code = "text_too_long"
	CodeNotFound    Code = "not_found"
	CodeConflict    Code = "conflict"
	CodeLimit       Code = "limit_reached"
	CodeUnavailable Code = "unavailable"
)

// Error is a refusal that may be shown to the client as it stands: Detail names the field and what it takes, and
// nothing of the server's inside. The cause, if any, is for the log alone.
type Error struct {
	Code   Code
	Field  string // empty where no single field is at fault
	Detail string
	Cause  error
}

// Error is the detail, with the cause behind it.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Detail + ": " + e.Cause.Error()
	}
	return e.Detail
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is makes errors.Is(err, ErrNotFound) and the like compare by code.
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

// NotFound is the Error for a what (as "room") that does not exist; field names where the id came from.
func NotFound(what, field, id string) *Error {
	return &Error{Code: CodeNotFound, Field: field, Detail: what + " " + id + " does not exist"}
}

// NotKnown is the Error for a message of which is not known whether it was stored, because of cause.
func NotKnown(cause error) *Error {
	return &Error{
		Code: CodeUnavailable, Cause: cause,
		Detail: "whether the message was stored is not known; sent again with the same ref or Idempotency-Key, it is stored once",
	}
}

// AsError returns err as an *Error. What is not one is a fault of the server's: CodeUnavailable with err as its cause.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeUnavailable, Detail: "the server cannot do this now; try again", Cause: err}
}
