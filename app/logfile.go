package main

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// The trace log's files: how long one gets, how many older ones are kept, and how often it is looked whether the file is
// still where it was. Files are small: ext4 sends to the disk at once what is still in memory of a file that is rotated,
// and whoever else writes, SQLite above all, waits for that.
const (
	logFileSize  = 10 << 20
	logFilesKept = 50
	logFileLook  = time.Second
)

// logFile is the trace log's file, which no other process writes. It is rotated when it is full. A file that was removed,
// moved away or cut short by somebody else is opened anew. Its methods are for one goroutine at a time.
type logFile struct {
	path    string
	regular bool     // it is neither a device nor a pipe, which can be written to and no more
	lock    *os.File // nil: there is none
	file    lumberjack.Logger
	device  *os.File
	size    int64
	as      os.FileInfo // what is open; nil: nothing is
	looked  time.Time
}

// openLogFile opens the file, or makes it, and locks it. A half line at its end, of a process that was killed, is ended.
func openLogFile(path string) (*logFile, error) {
	f := &logFile{path: path}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if !info.Mode().IsRegular() {
		f.device = file
		return f, nil
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	if f.lock, err = lockFile(path + ".lock"); err != nil {
		return nil, err
	}
	f.regular = true
	// Its own limit is beyond ours, so that it rotates only when told to.
	f.file = lumberjack.Logger{Filename: path, MaxSize: 2 * logFileSize >> 20, MaxBackups: logFilesKept}
	if err := f.open(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open makes the file at path the one that is written.
func (f *logFile) open() error {
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	f.size, f.as, f.looked = info.Size(), info, time.Now()
	if endsInALine(f.path, f.size) {
		return nil
	}
	n, err := file.Write([]byte{'\n'})
	f.size += int64(n)
	return err
}

// endsInALine reports whether a file of this size ends in a whole line, or cannot be read.
func endsInALine(path string, size int64) bool {
	if size == 0 {
		return true
	}
	file, err := os.Open(path)
	if err != nil {
		return true
	}
	defer file.Close()
	var last [1]byte
	_, err = file.ReadAt(last[:], size-1)
	return err != nil || last[0] == '\n'
}

// Write implements io.Writer. What it is given at once is in one file.
func (f *logFile) Write(p []byte) (int, error) {
	if !f.regular {
		return f.device.Write(p)
	}
	if f.as != nil && time.Since(f.looked) >= logFileLook {
		f.look()
	}
	if f.as == nil {
		if err := f.open(); err != nil {
			return 0, err
		}
	}
	if f.size > 0 && f.size+int64(len(p)) > logFileSize {
		if err := f.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := f.file.Write(p)
	f.size += int64(n)
	return n, err
}

// look lets go of the file if it is no longer what is found at path.
func (f *logFile) look() {
	f.looked = time.Now()
	now, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!os.SameFile(now, f.as) || now.Size() < f.size) {
		f.as = nil
		_ = f.file.Close() // nothing is lost: what was written is with the system
	}
}

// rotate renames the full file and begins a new one.
func (f *logFile) rotate() error {
	f.as = nil // on failure, it is opened anew
	if err := f.file.Rotate(); err != nil {
		return err
	}
	return f.open()
}

// Close closes the file, and gives the lock up.
func (f *logFile) Close() error {
	if !f.regular {
		return f.device.Close()
	}
	err := f.file.Close()
	if f.lock != nil {
		err = errors.Join(err, f.lock.Close())
	}
	return err
}
