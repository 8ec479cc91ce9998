package inbox

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// Reader reads from one connection. Its methods are for one goroutine at a time. The connection may be closed, and its
// read deadline set, from any goroutine; both end a wait.
type Reader struct {
	conn  net.Conn
	limit int
	buf   *buffer // nil: all that has been read was handed out

	raw syscall.RawConn // nil: the connection is no socket of the operating system's
	try func(fd uintptr) bool
	err error // of try
}

// New returns the Reader of conn, which nobody else may read from until they have done with the Reader. limit is the length
// in bytes of the longest message that is taken.
func New(conn net.Conn, limit int64) *Reader {
	r := &Reader{conn: conn, limit: int(limit)}
	r.init()
	return r
}

// Next waits for the next message or control frame and returns its payload, which the following call overwrites. Fragments
// are put together, with the control frames between them ahead of the message. Text is not checked for being UTF-8.
//
// The error is a ProtocolError or ErrTooLong; io.EOF, or io.ErrUnexpectedEOF within a message, if the peer has closed the
// connection; or the connection's. After an error there is nothing more to be had.
func (r *Reader) Next() (Op, []byte, error) {
	for {
		if r.buf != nil {
			if op, p, err := r.buf.next(r.limit); op != 0 || err != nil {
				return op, p, err
			}
		}
		// The stack is at its deepest in here when there is nothing to do, so what else is needed happens elsewhere.
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

// Drain reads and discards what comes until the peer has closed the connection, for at most grace. A connection that is
// closed with something unread is reset, and the peer may then not get the last that was written to it.
func (r *Reader) Drain(grace time.Duration) {
	if r.buf != nil {
		r.release()
	}
	if r.conn.SetReadDeadline(time.Now().Add(grace)) == nil {
		_, _ = io.Copy(io.Discard, r.conn)
	}
}

// end says what err means here, and lets the buffer go.
func (r *Reader) end(err error) error {
	if r.buf != nil {
		if err == io.EOF && !r.buf.empty() {
			err = io.ErrUnexpectedEOF
		}
		r.release()
	}
	return err
}

// wait reads from a connection that is no socket: it holds a buffer while it waits.
func (r *Reader) wait() error {
	n, err := r.conn.Read(r.room())
	r.buf.b = r.buf.b[:len(r.buf.b)+n]
	if n > 0 {
		return nil
	}
	return err
}

// room is where to read to. It is not empty.
func (r *Reader) room() []byte {
	if r.buf == nil {
		r.buf = buffers.Get().(*buffer)
	}
	return r.buf.room()
}

// release gives the buffer back. It must not be held by whom it was handed to.
func (r *Reader) release() {
	b := r.buf
	r.buf = nil
	if cap(b.b) <= maxKept {
		*b = buffer{b: b.b[:0]}
		buffers.Put(b)
	}
}

// A buffer takes what a client says at once, unless it says much; maxKept bytes are the most that one keeps for the next.
const (
	bufferSize = 4 << 10
	maxKept    = 16 << 10
)

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, bufferSize)} }}
