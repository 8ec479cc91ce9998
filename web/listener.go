package web

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// Listener accepts the connections of l. A peer that takes nothing of an answer for stall is cut off; an answer may take any
// time to be made, and to be read in full.
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

// accepted is a connection for net/http. It hides the methods of a TCPConn that write without calling Write, such as ReadFrom.
// Whoever takes it over (hijacks it) writes to its SyscallConn and sets deadlines itself.
type accepted struct {
	net.Conn
	tcp   *net.TCPConn
	stall time.Duration
}

// maxChunk is how many bytes are written under one deadline: a peer may take the stall time for each chunk.
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
			_ = c.tcp.SetLinger(0) // nobody will read what the operating system still holds
		}
		if err != nil {
			return n, err
		}
	}
	return n, c.tcp.SetWriteDeadline(time.Time{})
}

// SyscallConn implements syscall.Conn.
func (c *accepted) SyscallConn() (syscall.RawConn, error) { return c.tcp.SyscallConn() }

// CloseWrite lets net/http, which looks for it, end a connection without a reset.
func (c *accepted) CloseWrite() error { return c.tcp.CloseWrite() }

// SetLinger lets a ws.Conn, which looks for it, drop what a stalled peer will not read.
func (c *accepted) SetLinger(sec int) error { return c.tcp.SetLinger(sec) }
