package main

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// Files of the trace log: the largest size in bytes, how many older ones are kept, and how often the file at the path is
// compared with the one that is open. Files are small because ext4 writes a renamed file's data to the disk at once, and all
// other writers, SQLite above all, wait for that.
const (
	logFileSize  = 10 << 20
	logFilesKept = 50
	logFileCheck = time.Second
)

// logFile is the file of the trace log, which no other process writes. It is rotated when it is full. If another program
// removes, moves or truncates it, it is opened anew. Its methods must not be called concurrently.
type logFile struct {
	path    string
	regular bool     // false for a device or a pipe, which can only be written to
	lock    *os.File // nil if there is none
	file    lumberjack.Logger
	device  *os.File
	size    int64
	opened  os.FileInfo // of the open file; nil if none is open
	checked time.Time   // when the path was last compared with opened
}

// openLogFile opens or creates the file and locks it. It ends a partial last line, which a killed process leaves.
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
	// lumberjack's own limit is larger than logFileSize, so that it rotates only when told to.
	f.file = lumberjack.Logger{Filename: path, MaxSize: 2 * logFileSize >> 20, MaxBackups: logFilesKept}
	if err := f.open(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open makes the file at path the one that is written, and creates it if there is none.
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
	f.size, f.opened, f.checked = info.Size(), info, time.Now()
	if endsInALine(f.path, f.size) {
		return nil
	}
	n, err := file.Write([]byte{'\n'})
	f.size += int64(n)
	return err
}

// endsInALine reports whether the file, which has this size, ends with a complete line. It returns true if the file cannot be
// read.
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

// Write implements io.Writer. p is never split over two files.
func (f *logFile) Write(p []byte) (int, error) {
	if !f.regular {
		return f.device.Write(p)
	}
	if f.opened != nil && time.Since(f.checked) >= logFileCheck {
		f.check()
	}
	if f.opened == nil {
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

// check closes the file if it is no longer the one at path, or if it was truncated.
func (f *logFile) check() {
	f.checked = time.Now()
	now, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!os.SameFile(now, f.opened) || now.Size() < f.size) {
		f.opened = nil
		_ = f.file.Close() // an error loses nothing: all data has been handed to the system
	}
}

// rotate renames the full file and begins a new one.
func (f *logFile) rotate() error {
	f.opened = nil // after a failure the next Write opens the file anew
	if err := f.file.Rotate(); err != nil {
		return err
	}
	return f.open()
}

// Close closes the file and releases the lock.
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
