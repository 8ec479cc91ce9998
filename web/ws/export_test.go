package ws

import (
	"net"

	"github.com/traceroom/traceroom/web/workers"
)

// The halves of a Conn, for tests of each alone.
type (
	Reader = reader
	Queue  = queue
)

func NewReader(conn net.Conn, limit int64) *Reader {
	r := &reader{}
	r.init(conn, limit)
	return r
}

func NewQueue(pool *workers.Pool, id string, conn net.Conn, limits *Limits) *Queue {
	q := &queue{}
	q.init(pool, id, conn, limits)
	return q
}

var Refusal = refusal
