package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// follow reads a log file and goes on as it grows, over rotation in the manner of lumberjack (the file is renamed to
// NAME-TIMESTAMP.EXT and a new one takes its name) and over truncation. It looks every poll, with no help of the system's.
//
// A file that was truncated and has grown past the old end between two looks cannot be told from one that only grew.
type follow struct {
	path    string // the log's name
	opened  string // the name that f was opened under: path, or that of a rotated file
	f       *os.File
	r       io.Reader
	off     int64
	fromEnd bool // begin at the end of the first file
	last    bool // f gets no more: what it still holds is its end
	tick    *time.Ticker
	note    func(string) // tells the user
	missing bool         // said that there is no file
}

func newFollow(path string, fromEnd bool, note func(string)) *follow {
	return &follow{path: path, fromEnd: fromEnd, tick: time.NewTicker(poll), note: note}
}

func (s *follow) read(ctx context.Context, p []byte) (int, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if s.f == nil {
			if err := s.open(s.path); err != nil {
				if !errors.Is(err, fs.ErrNotExist) {
					return 0, err
				}
				if !s.missing {
					s.missing = true
					s.note(fmt.Sprintf("waiting for %s", s.path))
				}
				s.fromEnd = false // all that it will hold is new
				return 0, s.wait(ctx)
			}
		}
		n, err := s.r.Read(p)
		s.off += int64(n)
		switch {
		case n > 0:
			return n, nil
		case err != nil && err != io.EOF:
			return 0, fmt.Errorf("reading %s: %w", s.opened, err)
		case s.last:
			return 0, s.advance()
		}
		now, err := os.Stat(s.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		if err == nil {
			mine, err := s.f.Stat()
			if err != nil {
				return 0, err
			}
			if !os.SameFile(now, mine) {
				// Whoever renamed it has closed it before: one more read gets all that it will ever hold.
				s.last = true
				continue
			}
			if now.Size() < s.off {
				s.note(fmt.Sprintf("%s was truncated: reading it from its start", s.path))
				if _, err := s.f.Seek(0, io.SeekStart); err != nil {
					return 0, err
				}
				s.off = 0
				return 0, errNext
			}
		}
		return 0, s.wait(ctx)
	}
}

// wait lets one poll pass.
func (s *follow) wait(ctx context.Context) error {
	select {
	case <-s.tick.C:
		return errIdle
	case <-ctx.Done():
		return ctx.Err()
	}
}

// open makes path the file being read. A rotated one gets no more, so its end is its end.
func (s *follow) open(path string) error {
	f, r, err := openLog(path)
	if err != nil {
		return err
	}
	s.opened, s.f, s.r, s.off, s.last = path, f, r, 0, path != s.path
	if s.fromEnd {
		s.fromEnd = false
		if s.off, err = seekLastLine(f); err != nil {
			return err
		}
	}
	return nil
}

// advance closes the file that is read to its end and opens the one that was begun after it: the log may have been
// rotated more than once between two looks.
func (s *follow) advance() error {
	next, err := s.successor()
	if err != nil {
		return err
	}
	if err := s.drop(); err != nil {
		return err
	}
	if next != s.path {
		if err := s.open(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return errNext // the log itself is opened by the next read
}

// successor names the file that follows the one being read: the rotated file after it, or the log itself when there is
// none or the one being read can no longer be found among them.
func (s *follow) successor() (string, error) {
	mine, err := s.f.Stat()
	if err != nil {
		return "", err
	}
	dir, base := filepath.Dir(s.path), filepath.Base(s.path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	ext := filepath.Ext(base)
	prefix := strings.TrimSuffix(base, ext) + "-"
	var rotated []string // lumberjack's timestamps sort as text
	for _, e := range entries {
		if n := e.Name(); strings.HasPrefix(n, prefix) && strings.HasSuffix(strings.TrimSuffix(n, ".gz"), ext) {
			rotated = append(rotated, n)
		}
	}
	slices.Sort(rotated)
	for i, n := range rotated {
		st, err := os.Stat(filepath.Join(dir, n))
		if err == nil && os.SameFile(st, mine) && i+1 < len(rotated) {
			return filepath.Join(dir, rotated[i+1]), nil
		}
	}
	return s.path, nil
}

// seekLastLine moves to the end of f, or to the start of its last line when that is not whole yet.
func seekLastLine(f *os.File) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	tail := make([]byte, min(end, maxLine))
	if _, err := f.ReadAt(tail, end-int64(len(tail))); err != nil && err != io.EOF {
		return 0, err
	}
	if nl := bytes.LastIndexByte(tail, '\n'); nl >= 0 || end == int64(len(tail)) {
		end -= int64(len(tail) - nl - 1)
	}
	return f.Seek(end, io.SeekStart)
}

func (s *follow) name() string {
	if s.opened == "" {
		return s.path
	}
	return s.opened
}

func (s *follow) drop() error {
	if s.f == nil {
		return nil
	}
	f := s.f
	s.f, s.r = nil, nil
	return f.Close()
}

func (s *follow) close() error {
	s.tick.Stop()
	return s.drop()
}
