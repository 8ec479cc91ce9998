package rooms

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckID returns an *Error that names field unless id is 1 to MaxIDLength of A-Z a-z 0-9 _ . -
func CheckID(field, id string) error {
	if id == "" {
		return &Error{Code: CodeInvalid, Field: field, Detail: field + " is required"}
	}
	if len(id) > MaxIDLength {
		return invalidID(field)
	}
	for i := range len(id) {
		c := id[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-' {
			continue
		}
		return invalidID(field)
	}
	return nil
}

// CheckRef returns an *Error that names field unless ref is UTF-8 of at most MaxRefLength characters, without control characters. It
// may be empty.
func CheckRef(field, ref string) error {
	if utf8.ValidString(ref) && (len(ref) <= MaxRefLength || utf8.RuneCountInString(ref) <= MaxRefLength) &&
		strings.IndexFunc(ref, unicode.IsControl) < 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Field: field,
		Detail: fmt.Sprintf("%s must be at most %d characters, without control characters", field, MaxRefLength)}
}

func invalidID(field string) error {
	return &Error{Code: CodeInvalid, Field: field,
		Detail: fmt.Sprintf("%s must be 1 to %d of A-Z a-z 0-9 _ . -", field, MaxIDLength)}
}

// CheckText returns an *Error that names field unless text is UTF-8 of 1 to limit characters, not all of them blank, and
// without U+0000, which PostgreSQL cannot store.
func CheckText(field, text string, limit int) error {
	switch {
	case strings.TrimSpace(text) == "":
		return &Error{Code: CodeEmptyText, Field: field, Detail: field + " must not be empty"}
	case len(text) > limit && utf8.RuneCountInString(text) > limit:
		return &Error{Code: CodeTextTooLong, Field: field,
			Detail: fmt.Sprintf("%s must be at most %d characters", field, limit)}
	case !utf8.ValidString(text):
		return &Error{Code: CodeInvalid, Field: field, Detail: field + " must be UTF-8"}
	case strings.IndexByte(text, 0) >= 0:
		return &Error{Code: CodeInvalid, Field: field, Detail: field + " must not contain U+0000"}
	}
	return nil
}
