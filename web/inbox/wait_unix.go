//go:build unix

package inbox

import (
	"io"
	"os"
	"syscall"
)

func (r *Reader) init() {
	sc, ok := r.conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	r.raw = raw
	r.try = r.tryRead
}

// tryRead reads what there is. It reports false if that is nothing, so that its caller waits, without a buffer if nothing
// is in it. It always reads: an event before it was called has been forgotten.
func (r *Reader) tryRead(fd uintptr) bool {
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
