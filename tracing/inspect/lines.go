package inspect

import (
	"bytes"
	"context"
	"errors"
	"io"
)

// maxLine bounds a line's length in bytes. The server's own are below 4 KiB.
const maxLine = 1 << 20

// chunk is how much is read at a time.
const chunk = 256 << 10

// place is where a line stands.
type place struct {
	file string
	line int64 // from 1
}

// lines cuts a source into lines, in one buffer of fixed size. One goroutine at a time.
type lines struct {
	src  source
	buf  []byte
	r, w int // unread bytes are buf[r:w]
	seen int // no newline in buf[r:seen]
	long bool
	at   place // of the line returned last
	then error // what to return once the rest of a file has been
}

func newLines(src source) *lines {
	return &lines{src: src, buf: make([]byte, 2*maxLine)}
}

var errLong = errors.New("longer than 1 MiB")

// next returns the next line without its newline; it is valid until the call after it. whole is false for a line that its
// file ends in. The errors are errLong, for a line that was passed over, errIdle, io.EOF, the context's and the source's.
func (s *lines) next(ctx context.Context) (b []byte, whole bool, err error) {
	for {
		if i := bytes.IndexByte(s.buf[s.seen:s.w], '\n'); i >= 0 {
			b = s.buf[s.r : s.seen+i]
			s.r = s.seen + i + 1
			s.seen = s.r
			return s.cut(b, true)
		}
		s.seen = s.w
		if s.then != nil {
			return s.finish(ctx)
		}
		if s.w-s.r > maxLine {
			s.long = true
			s.r = s.w
		}
		if s.w-s.r < chunk/4 || len(s.buf)-s.w < chunk {
			s.w = copy(s.buf, s.buf[s.r:s.w]) // the same bytes again and again stay in the cache
			s.r, s.seen = 0, s.w
		}
		n, err := s.src.read(ctx, s.buf[s.w:min(s.w+chunk, len(s.buf))])
		s.w += n
		if n > 0 && s.at.line == 0 {
			s.at.file = s.src.name()
		}
		switch err {
		case nil:
		case io.EOF, errNext:
			s.then = err
		default:
			return nil, false, err
		}
	}
}

// finish ends a file: what is left of it is its last line.
func (s *lines) finish(ctx context.Context) ([]byte, bool, error) {
	if s.r < s.w || s.long {
		b := s.buf[s.r:s.w]
		s.r = s.w
		return s.cut(b, false)
	}
	if err := s.then; err == io.EOF {
		return nil, false, err
	}
	s.then = nil
	s.at = place{}
	return s.next(ctx)
}

// cut hands out a line, or tells that it was too long.
func (s *lines) cut(b []byte, whole bool) ([]byte, bool, error) {
	s.at.line++
	if s.long || len(b) > maxLine {
		s.long = false
		return nil, whole, errLong
	}
	return b, whole, nil
}
