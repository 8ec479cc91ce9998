package store

import (
	"encoding/binary"

	"github.com/google/uuid"
)

// A message's id is made of when it was created and of its place, so that it needs neither a column nor an index, and sorts by
// time. An index of ids would take 1.5 of 7.2 µs a message that is stored together with seven others.
//
// The id is a UUID of version 8 (RFC 9562 section 5.8): 48 bits of the Unix milliseconds, and the 63 bits of the place, around the
// version and the variant.
const (
	idVersion = 8 << 4    // in byte 6; the lower half of byte 6, and byte 7, hold the bits above placeLow
	idVariant = 2 << 6    // in byte 8, followed by the bits of placeLow
	placeLow  = 1<<62 - 1 // the lower 62 bits of a place
)

// idOf returns the id of the message that was created at this time, in Unix milliseconds, and is at this place.
func idOf(created, place int64) string {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:], uint64(created)<<16|idVersion<<8|uint64(place)>>62)
	binary.BigEndian.PutUint64(u[8:], idVariant<<56|uint64(place)&placeLow)
	return u.String()
}

// placeOf is the reverse of idOf. ok is false if idOf makes no such id.
func placeOf(id string) (created, place int64, ok bool) {
	u, err := uuid.Parse(id)
	if err != nil {
		return 0, 0, false
	}
	high, low := binary.BigEndian.Uint64(u[:]), binary.BigEndian.Uint64(u[8:])
	created, place = int64(high>>16), int64(high&1<<62|low&placeLow)
	return created, place, idOf(created, place) == id
}
