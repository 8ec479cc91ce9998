package store

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// errNoID: what should be a message's id is not a UUID as it is written by uuid.UUID.String.
var errNoID = errors.New("is not the id of a message")

// packID is a message's id as it is stored. It fails with errNoID.
func packID(id string) (u uuid.UUID, err error) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' ||
		!unhex(u[:4], id) || !unhex(u[4:6], id[9:]) || !unhex(u[6:8], id[14:]) || !unhex(u[8:10], id[19:]) || !unhex(u[10:], id[24:]) {
		err = fmt.Errorf("%q %w", id, errNoID)
	}
	return u, err
}

// storedID is an id that is read from where it is stored; NULL is none.
type storedID string

// Scan implements sql.Scanner.
func (id *storedID) Scan(src any) error {
	if src == nil {
		*id = ""
		return nil
	}
	b, _ := src.([]byte)
	u, err := uuid.FromBytes(b)
	*id = storedID(u.String())
	return err
}

// The length of a traceparent of version 00 (https://www.w3.org/TR/trace-context/#version-format), and of a packed one.
const (
	parentText = 55
	parentSize = 25
)

// packParent puts a traceparent into dst as it is stored. ok is false if it is not one of version 00: it is stored as it is.
func packParent(dst *[parentSize]byte, parent string) (ok bool) {
	if len(parent) != parentText || parent[:3] != "00-" || parent[35] != '-' || parent[52] != '-' {
		return false
	}
	return unhex(dst[:16], parent[3:]) && unhex(dst[16:24], parent[36:]) && unhex(dst[24:], parent[53:])
}

// unhex fills dst from the first digits. It reports false if one is none, capitals included.
func unhex(dst []byte, digits string) bool {
	for i := range dst {
		hi, lo := unhexed[digits[2*i]], unhexed[digits[2*i+1]]
		if hi|lo > 15 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

// unhexed is the value of each hexadecimal digit, and 255 for what is none.
var unhexed = func() (table [256]byte) {
	for i := range table {
		table[i] = 255
	}
	for i, c := range "0123456789abcdef" {
		table[c] = byte(i)
	}
	return table
}()

// storedParent is a traceparent that is read from where it is stored.
type storedParent string

// Scan implements sql.Scanner.
func (p *storedParent) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("store: traceparent %v is not of bytes", src)
	}
	if len(b) != parentSize {
		*p = storedParent(b)
		return nil
	}
	text := make([]byte, 0, parentText)
	text = append(text, "00-"...)
	text = append(hex.AppendEncode(text, b[:16]), '-')
	text = append(hex.AppendEncode(text, b[16:24]), '-')
	*p = storedParent(hex.AppendEncode(text, b[24:]))
	return nil
}
