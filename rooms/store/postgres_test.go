package store

import (
	"testing"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/store/pgtest"
	"github.com/traceroom/traceroom/rooms/store/storetest"
)

func TestPostgres(t *testing.T) {
	server := pgtest.Start(t)
	storetest.Suite{
		New: func(t *testing.T) func() rooms.Store {
			url := server.Database(t)
			return func() rooms.Store { return open(t, url) }
		},
		Persistent: true,
		Shared:     true,
	}.Run(t)
}
