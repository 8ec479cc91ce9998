//go:build !unix

package ws

import "net"

// socket, on systems without a write that does not wait, writes nothing in tryWrite: every queue with something to write
// does so in a goroutine of its own.
type socket struct{ conn net.Conn }

func (s *socket) init(conn net.Conn) { s.conn = conn }

func (*socket) tryWrite([]byte) (int, error) { return 0, nil }

func (s *socket) write(p []byte) (int, error) { return s.conn.Write(p) }
