package ws

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// reader reads frames from one connection. Its methods are for one goroutine at a time. The connection may be closed, and
// its read deadline set, from any goroutine; both end a wait.
//
// A reader that waits holds no buffer, and waits so few calls deep that the goroutine it waits in keeps the smallest stack
// that there is: 2 KiB of the 7 KiB that an idle connection costs.
type reader struct {
	conn  net.Conn
	limit int
	buf   *buffer // nil: all that was read has been returned

	raw syscall.RawConn // nil: the connection is no socket of the operating system
	try func(fd uintptr) bool
	err error // of try
}

// init prepares r. Nobody else may read from conn before the reader has ended. limit is the length in bytes of the longest
// message that is taken.
func (r *reader) init(conn net.Conn, limit int64) {
	r.conn, r.limit = conn, int(limit)
	r.initRaw()
}

// Next waits for the next message or control frame and returns its payload, which is valid until the next call. Fragments
// are put together; control frames that come between them are returned before the message. Text may be other than UTF-8.
//
// The error is a ProtocolError or ErrTooLong; io.EOF, or io.ErrUnexpectedEOF within a message, if the peer has closed the
// connection; or that of the connection. It is final.
func (r *reader) Next() (Op, []byte, error) {
	for {
		if r.buf != nil {
			if op, p, err := r.buf.next(r.limit); op != 0 || err != nil {
				return op, p, err
			}
		}
		// An idle connection waits in here: what needs more stack is done elsewhere.
		var err error
		if r.raw != nil {
			if err = r.raw.Read(r.try); err == nil {
				err = r.err
			}
		} else {
			err = r.wait()
		}
		if err != nil {
			return 0, nil, r.end(err)
		}
	}
}

// Drain reads and discards what comes until the peer has closed the connection, for at most grace. If a connection is closed
// before all that has come is read, the operating system resets it, and the peer may lose the last that was written to it.
func (r *reader) Drain(grace time.Duration) {
	if r.buf != nil {
		r.release()
	}
	if r.conn.SetReadDeadline(time.Now().Add(grace)) == nil {
		_, _ = io.Copy(io.Discard, r.conn)
	}
}

// end returns what Next returns for err, and gives the buffer back.
func (r *reader) end(err error) error {
	if r.buf != nil {
		if err == io.EOF && !r.buf.empty() {
			err = io.ErrUnexpectedEOF
		}
		r.release()
	}
	return err
}

// wait reads from a connection that is no socket. It holds a buffer while it waits.
func (r *reader) wait() error {
	n, err := r.conn.Read(r.room())
	r.buf.b = r.buf.b[:len(r.buf.b)+n]
	if n > 0 {
		return nil
	}
	return err
}

// room returns memory to read into, which is not empty.
func (r *reader) room() []byte {
	if r.buf == nil {
		r.buf = buffers.Get().(*buffer)
	}
	return r.buf.room()
}

// release gives the buffer back. Payloads that Next has returned must no longer be in use.
func (r *reader) release() {
	b := r.buf
	r.buf = nil
	if cap(b.b) <= maxKept {
		*b = buffer{b: b.b[:0]}
		buffers.Put(b)
	}
}

// Sizes of a buffer in bytes: at first, enough for what a client says at once unless it says much, and the most that is kept
// for the next connection.
const (
	bufferSize = 4 << 10
	maxKept    = 16 << 10
)

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, bufferSize)} }}
