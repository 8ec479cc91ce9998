//go:build unix

package ws

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// rawConn returns the socket of a connection, nil if it is no socket of the operating system.
func rawConn(conn net.Conn) syscall.RawConn {
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// socket writes to a connection without waiting. Whoever owns the queue's writing uses it.
type socket struct {
	conn net.Conn
	raw  syscall.RawConn // nil: the connection is no socket of the operating system
	call func(fd uintptr) bool

	// The arguments and results of call, here so that a call allocates nothing.
	p    []byte
	wait bool // until something can be written
	n    int
	err  error
}

func (s *socket) init(conn net.Conn) {
	s.conn = conn
	if s.raw = rawConn(conn); s.raw != nil {
		s.call = s.write1
	}
}

// write1 writes what the socket takes now. It returns false if the caller is to wait and call it again.
func (s *socket) write1(fd uintptr) bool {
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

// write waits until the socket takes something of p or its write deadline has passed. n may be less than len(p) without an
// error.
func (s *socket) write(p []byte) (n int, err error) {
	if s.raw == nil {
		return s.conn.Write(p)
	}
	s.wait = true
	n, err = s.tryWrite(p)
	s.wait = false
	return n, err
}

// tryWrite writes as much of p as the socket takes now. If its buffer is full, the count is short and there is no error.
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
