//go:build unix

package outbox

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// socket writes to a connection without waiting. It is used by whoever owns the queue's writing.
type socket struct {
	conn  net.Conn
	raw   syscall.RawConn // nil: the connection is no socket of the operating system's
	write func(fd uintptr) bool

	// p, n and err are the arguments and results of write, here so that a call allocates nothing.
	p   []byte
	n   int
	err error
}

func (s *socket) init(conn net.Conn) {
	s.conn = conn
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	s.raw = raw
	s.write = func(fd uintptr) bool {
		for {
			s.n, s.err = syscall.Write(int(fd), s.p)
			if !errors.Is(s.err, syscall.EINTR) {
				return true
			}
		}
	}
}

// tryWrite writes as much of p as the socket takes now. A full buffer is no error, but a short count.
func (s *socket) tryWrite(p []byte) (int, error) {
	if s.raw == nil {
		return 0, nil
	}
	s.p = p
	err := s.raw.Write(s.write)
	s.p = nil
	switch {
	case err != nil:
		return 0, err
	case s.err == nil && s.n == 0 && len(p) > 0:
		return 0, io.ErrShortWrite
	case errors.Is(s.err, syscall.EAGAIN):
		return 0, nil
	case s.err != nil:
		return 0, s.err
	}
	return s.n, nil
}
