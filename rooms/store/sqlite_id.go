package store

import (
	"encoding/binary"

	"github.com/google/uuid"
)

// An id is a UUID of version 8 (RFC 9562 section 5.8): 48 bits of when the message was created, in Unix milliseconds, and, around
// version and variant, the 63 bits of its place. So ids sort by time, and say where their message is.
const (
	idVersion = 8 << 4 // in byte 6, of which the other half and byte 7 have what is above placeLow
	idVariant = 2 << 6 // in byte 8, followed by placeLow
	placeLow  = 1<<62 - 1
)

// idOf is the id of the message that was created at that time and is at this place.
func idOf(created, place int64) string {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:], uint64(created)<<16|idVersion<<8|uint64(place)>>62)
	binary.BigEndian.PutUint64(u[8:], idVariant<<56|uint64(place)&placeLow)
	return u.String()
}

// placeOf is the reverse of idOf; ok is false if this is not the id of any message here.
func placeOf(id string) (created, place int64, ok bool) {
	u, err := uuid.Parse(id)
	if err != nil {
		return 0, 0, false
	}
	high, low := binary.BigEndian.Uint64(u[:]), binary.BigEndian.Uint64(u[8:])
	created, place = int64(high>>16), int64(high&1<<62|low&placeLow)
	return created, place, idOf(created, place) == id
}
