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
	conn net.Conn
	raw  syscall.RawConn // nil: the connection is no socket of the operating system's
	call func(fd uintptr) bool

	// p, wait, n and err are the arguments and results of call, here so that a call allocates nothing.
	p    []byte
	wait bool // until something can be written
	n    int
	err  error
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
	s.call = func(fd uintptr) bool {
		for {
			s.n, s.err = syscall.Write(int(fd), s.p)
			switch s.err {
			case syscall.EINTR:
			case syscall.EAGAIN:
				return !s.wait
			default:
				return true
			}
		}
	}
}

// write waits until the socket takes something of p, or its write deadline has passed. n may be less than len(p) without
// an error.
func (s *socket) write(p []byte) (n int, err error) {
	if s.raw == nil {
		return s.conn.Write(p)
	}
	s.wait = true
	n, err = s.tryWrite(p)
	s.wait = false
	return n, err
}

// tryWrite writes as much of p as the socket takes now. A full buffer is no error, but a short count.
func (s *socket) tryWrite(p []byte) (int, error) {
	if s.raw == nil {
		return 0, nil
	}
	s.p = p
	err := s.raw.Write(s.call)
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
