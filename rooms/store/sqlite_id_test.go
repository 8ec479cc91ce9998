package store

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/traceroom/traceroom/rooms"
)

func TestAnIDTellsItsPlace(t *testing.T) {
	const most = 1<<48 - 1
	last := ""
	for _, m := range []struct {
		created, place int64
		id             string
	}{
		{0, 1<<seqBits | 1, "00000000-0000-8000-8000-001000000001"},
		{1635789012345, 1<<seqBits | 1, "017cdc9f-7d79-8000-8000-001000000001"},
		{1635789012345, 1<<seqBits | maxSeq, "017cdc9f-7d79-8000-8000-001fffffffff"},
		{1635789012345, 1<<(seqBits+26) | 1, "017cdc9f-7d79-8001-8000-000000000001"},
		{1635789012346, 1<<seqBits | 2, "017cdc9f-7d7a-8000-8000-001000000002"},
		{most, 1<<63 - 1, "ffffffff-ffff-8001-bfff-ffffffffffff"},
	} {
		id := idOf(m.created, m.place)
		require.Equal(t, m.id, id)
		require.Greater(t, id, last)
		last = id
		u, err := uuid.Parse(id)
		require.NoError(t, err)
		require.EqualValues(t, 8, u.Version())
		require.Equal(t, uuid.RFC4122, u.Variant())
		created, place, ok := placeOf(id)
		require.True(t, ok)
		require.Equal(t, []int64{m.created, m.place}, []int64{created, place})
	}
	for _, id := range []string{"", "x", uuid.NewString(), rooms.NewID(), "017CDC9F-7d79-8000-8000-001000000001",
		"017cdc9f-7d79-8002-8000-001000000001", "017cdc9f-7d79-8000-c000-001000000001", "{017cdc9f-7d79-8000-8000-001000000001}"} {
		_, _, ok := placeOf(id)
		require.False(t, ok, id)
	}
}
