//go:build unix

package ws

import (
	"io"
	"os"
	"syscall"
)

func (r *reader) initRaw() {
	if r.raw = rawConn(r.conn); r.raw != nil {
		r.try = r.tryRead
	}
}

// tryRead reads what has come. It returns false if that is nothing, so that its caller waits; then it keeps no buffer, unless
// there is something in it. It reads at every call: the operating system announces data once, and that may have been before.
func (r *reader) tryRead(fd uintptr) bool {
	p := r.room()
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case n > 0:
			r.buf.b = r.buf.b[:len(r.buf.b)+n]
			r.err = nil
		case err == nil:
			r.err = io.EOF
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			if r.buf.empty() {
				r.release()
			}
			return false
		default:
			r.err = os.NewSyscallError("read", err)
		}
		return true
	}
}
