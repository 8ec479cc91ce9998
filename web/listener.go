package web

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// Listener accepts connections of l on which a peer that takes nothing of an answer for stall is cut off, however long
// answers take to be made or to be read.
func Listener(l net.Listener, stall time.Duration) net.Listener { return listener{l, stall} }

type listener struct {
	net.Listener
	stall time.Duration
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c, nil
	}
	return &accepted{tcp, tcp, l.stall}, nil
}

// accepted is a connection as net/http has it. It hides what of a TCPConn would write past its Write. Once it is taken over
// (hijacked), whoever does so writes by way of SyscallConn and sets deadlines of its own.
type accepted struct {
	net.Conn
	tcp   *net.TCPConn
	stall time.Duration
}

// maxChunk is how many bytes a peer may take the stall time for: the deadline moves on after each.
const maxChunk = 16 << 10

// Write implements net.Conn.
func (c *accepted) Write(p []byte) (n int, err error) {
	for first := true; first || n < len(p); first = false {
		if err := c.tcp.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			return n, err
		}
		m, err := c.tcp.Write(p[n:min(n+maxChunk, len(p))])
		n += m
		if late := errors.Is(err, os.ErrDeadlineExceeded); late && m > 0 {
			continue
		} else if late {
			_ = c.tcp.SetLinger(0) // nobody reads what the operating system still holds
		}
		if err != nil {
			return n, err
		}
	}
	return n, c.tcp.SetWriteDeadline(time.Time{})
}

// SyscallConn implements syscall.Conn.
func (c *accepted) SyscallConn() (syscall.RawConn, error) { return c.tcp.SyscallConn() }

// CloseWrite is what net/http looks for to end a connection without a reset.
func (c *accepted) CloseWrite() error { return c.tcp.CloseWrite() }

// SetLinger is what an outbox.Queue looks for.
func (c *accepted) SetLinger(sec int) error { return c.tcp.SetLinger(sec) }
