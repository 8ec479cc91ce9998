package inspect

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// source gives a log's bytes. One goroutine at a time.
type source interface {
	// read fills p with what comes next. Beside io.EOF, the end of all, its errors may be errIdle (nothing came for one
	// poll; ask again) and errNext (this file is at its end and another begins: a line does not go on across it).
	read(ctx context.Context, p []byte) (int, error)
	// name is the file that the last bytes came from.
	name() string
	close() error
}

var (
	errIdle = errors.New("nothing new")
	errNext = errors.New("the next file")
)

// poll is how often a log that may grow is looked at when it has nothing new.
const poll = 100 * time.Millisecond

// stdin is the name that standard input goes by.
const stdin = "-"

// files reads files one after another, gzipped ones too.
type files struct {
	paths []string
	path  string
	f     *os.File
	r     io.Reader
}

func (s *files) read(ctx context.Context, p []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if s.f == nil {
		if len(s.paths) == 0 {
			return 0, io.EOF
		}
		s.path, s.paths = s.paths[0], s.paths[1:]
		var err error
		if s.f, s.r, err = openLog(s.path); err != nil {
			return 0, err
		}
	}
	n, err := s.r.Read(p)
	if err != io.EOF {
		if err != nil {
			err = fmt.Errorf("reading %s: %w", s.path, err)
		}
		return n, err
	}
	err = s.close()
	if err == nil && len(s.paths) > 0 {
		err = errNext
	}
	if err == nil {
		err = io.EOF
	}
	return n, err
}

func (s *files) name() string { return s.path }

func (s *files) close() error {
	if s.f == nil {
		return nil
	}
	f := s.f
	s.f, s.r = nil, nil
	return f.Close()
}

// openLog opens a log file for reading; its name tells whether it is gzipped, as rotated logs may be.
func openLog(path string) (*os.File, io.Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil, nil, errors.Join(fmt.Errorf("%s is a folder, not a log", path), f.Close())
	}
	if !strings.HasSuffix(path, ".gz") {
		return f, f, nil
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("reading %s: %w", path, err), f.Close())
	}
	return f, z, nil
}

// stream reads what comes in by a pipe, so that whoever waits for it also hears that nothing came.
//
// Its goroutine owns r and one buffer at a time; a buffer goes over full to the reader and comes back over free. It ends
// with r's first error or when close asks it to. A read of standard input that nobody writes to cannot be broken off on
// every system: then the goroutine stays in it, which the process's end solves.
type stream struct {
	full  chan piece
	free  chan []byte
	quit  chan struct{}
	done  chan struct{}
	r     io.Reader
	rest  []byte // of the piece being read
	piece piece
	idle  *time.Timer
}

type piece struct {
	buf []byte
	n   int
	err error
}

func newStream(r io.Reader) *stream {
	s := &stream{
		full: make(chan piece, 2), free: make(chan []byte, 2),
		quit: make(chan struct{}), done: make(chan struct{}),
		r: r, idle: time.NewTimer(poll),
	}
	for range 2 {
		s.free <- make([]byte, 256<<10)
	}
	go s.pump()
	return s
}

func (s *stream) pump() {
	defer close(s.done)
	for {
		select {
		case <-s.quit:
			return
		case buf := <-s.free:
			n, err := s.r.Read(buf)
			s.full <- piece{buf, n, err} // never waits: full holds as many as there are buffers
			if err != nil {
				return
			}
		}
	}
}

func (s *stream) read(ctx context.Context, p []byte) (int, error) {
	for {
		if len(s.rest) > 0 {
			n := copy(p, s.rest)
			s.rest = s.rest[n:]
			return n, nil
		}
		if s.piece.err != nil {
			return 0, s.piece.err
		}
		if s.piece.buf != nil {
			s.free <- s.piece.buf
			s.piece.buf = nil
		}
		s.idle.Reset(poll)
		select {
		case s.piece = <-s.full:
			s.rest = s.piece.buf[:s.piece.n]
			if err := s.piece.err; err != nil && err != io.EOF {
				s.piece.err = fmt.Errorf("reading standard input: %w", err)
			}
		case <-s.idle.C:
			return 0, errIdle
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (s *stream) name() string { return stdin }

func (s *stream) close() error {
	s.idle.Stop()
	close(s.quit)
	d, ok := s.r.(interface{ SetReadDeadline(time.Time) error })
	if ok && d.SetReadDeadline(time.Unix(1, 0)) == nil || s.piece.err != nil {
		<-s.done
	}
	return nil
}
