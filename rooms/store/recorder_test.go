//go:build !windows

package store

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"modernc.org/libc"
	codes "modernc.org/sqlite/lib"
)

// recorderVFS is the name of the file layer that records what SQLite does to files in recorded folders. Otherwise it is
// unix-excl.
const recorderVFS = "recorder"

// diskOp is a change of a file, or a sync.
type diskOp struct {
	file string
	kind diskOpKind
	at   int64  // write: where; truncate: the length
	data []byte // write
	upTo int    // sync: everything before this operation is on the disk
}

type diskOpKind uint8

const (
	diskWrite diskOpKind = iota
	diskTruncate
	diskSync
	diskDelete
)

// recording is the operations on the files of a folder. Its methods may be called from any goroutine.
type recording struct {
	dir string
	mu  sync.Mutex
	ops []diskOp
}

func (r *recording) add(op diskOp) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op)
}

// len returns how many operations there are.
func (r *recording) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops)
}

// synced returns the operation up to which all operations on a file were certainly on the disk after the first n.
func (r *recording) synced(file string, n int) (upTo int) {
	for _, op := range r.ops[:n] {
		if op.kind == diskSync && op.file == file {
			upTo = op.upTo
		}
	}
	return upTo
}

// sectorSize is how many bytes a disk writes as a whole.
const sectorSize = 512

// crash writes to a folder what a disk may hold after a power failure that comes after the first n operations. What was
// synced is there; each other write may be there in whole, in part or not at all.
func (r *recording) crash(random *rand.Rand, n int, dir string) error {
	synced := make(map[string]int)
	for _, op := range r.ops[:n] {
		if op.kind == diskSync {
			synced[op.file] = max(synced[op.file], op.upTo)
		}
	}
	// Disks differ: they have lost nothing, or everything, or have written in order up to some moment, or in any order.
	mood := random.IntN(5)
	moment := random.IntN(n + 1)
	files := make(map[string][]byte)
	for i, op := range r.ops[:n] {
		content := files[op.file]
		certain := i < synced[op.file]
		keep := certain
		switch mood {
		case 0:
			keep = true
		case 1:
		case 2:
			keep = certain || i < moment
		default:
			keep = certain || random.IntN(2) == 0
		}
		switch {
		case op.kind == diskSync:
		case op.kind == diskDelete: // SQLite syncs the folder, or does not depend on it
			delete(files, op.file)
		case !keep:
		case op.kind == diskTruncate:
			if int64(len(content)) > op.at {
				files[op.file] = content[:op.at]
			}
		default:
			if end := op.at + int64(len(op.data)); end > int64(len(content)) {
				content = append(content, make([]byte, end-int64(len(content)))...)
			}
			for from := 0; from < len(op.data); from += sectorSize {
				torn := !certain && mood == 4 && random.IntN(3) == 0
				if to := min(from+sectorSize, len(op.data)); !torn {
					copy(content[op.at+int64(from):], op.data[from:to])
				}
			}
			files[op.file] = content
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// recorder is the state of recorderVFS.
var recorder struct {
	once sync.Once
	real uintptr // the VFS unix-excl

	mu      sync.Mutex
	folders map[string]*recording
	files   map[uintptr]recordedFile // by SQLite's sqlite3_file
	tables  map[uintptr]uintptr      // from methods of a VFS to those that record
}

type recordedFile struct {
	to      *recording
	name    string
	methods uintptr // without recording
}

// record begins to record what recorderVFS does to files in dir.
func record(dir string) *recording {
	recorder.once.Do(registerRecorder)
	r := &recording{dir: dir}
	recorder.mu.Lock()
	defer recorder.mu.Unlock()
	recorder.folders[dir] = r
	return r
}

// pointer returns the memory at an address of SQLite's: it is never Go's.
func pointer[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// function returns the Go function that a number of SQLite's stands for, and number is the reverse. f must be a function
// of the package.
func function[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&struct{ uintptr }{p})) }
func number[F any](f F) uintptr   { return *(*uintptr)(unsafe.Pointer(&f)) }

type (
	openFunc     = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32
	deleteFunc   = func(tls *libc.TLS, vfs, name uintptr, syncFolder int32) int32
	writeFunc    = func(tls *libc.TLS, file, data uintptr, n int32, at int64) int32
	truncateFunc = func(tls *libc.TLS, file uintptr, size int64) int32
	syncFunc     = func(tls *libc.TLS, file uintptr, flags int32) int32
	closeFunc    = func(tls *libc.TLS, file uintptr) int32
)

func registerRecorder() {
	recorder.folders = make(map[string]*recording)
	recorder.files = make(map[uintptr]recordedFile)
	recorder.tables = make(map[uintptr]uintptr)
	tls := libc.NewTLS() // until the process ends
	name, err := libc.CString("unix-excl")
	if err != nil {
		panic(err)
	}
	recorder.real = codes.Xsqlite3_vfs_find(tls, name)
	mine := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(codes.Tsqlite3_vfs{})))
	vfs := pointer[codes.Tsqlite3_vfs](mine)
	*vfs = *pointer[codes.Tsqlite3_vfs](recorder.real)
	vfs.FpNext = 0
	if vfs.FzName, err = libc.CString(recorderVFS); err != nil {
		panic(err)
	}
	vfs.FxOpen, vfs.FxDelete = number[openFunc](recordOpen), number[deleteFunc](recordDelete)
	if codes.Xsqlite3_vfs_register(tls, mine, 0) != codes.SQLITE_OK {
		panic("the VFS cannot be registered")
	}
}

func recordOpen(tls *libc.TLS, _, name, file uintptr, flags int32, out uintptr) int32 {
	rc := function[openFunc](pointer[codes.Tsqlite3_vfs](recorder.real).FxOpen)(tls, recorder.real, name, file, flags, out)
	if rc != codes.SQLITE_OK || name == 0 {
		return rc
	}
	dir, base := filepath.Split(libc.GoString(name))
	recorder.mu.Lock()
	defer recorder.mu.Unlock()
	to := recorder.folders[filepath.Clean(dir)]
	if to == nil {
		return rc
	}
	f := pointer[codes.Tsqlite3_file](file)
	table := recorder.tables[f.FpMethods]
	if table == 0 {
		table = libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(codes.Tsqlite3_io_methods{})))
		methods := pointer[codes.Tsqlite3_io_methods](table)
		*methods = *pointer[codes.Tsqlite3_io_methods](f.FpMethods)
		methods.FxWrite, methods.FxTruncate = number[writeFunc](recordWrite), number[truncateFunc](recordTruncate)
		methods.FxSync, methods.FxClose = number[syncFunc](recordSync), number[closeFunc](recordClose)
		recorder.tables[f.FpMethods] = table
	}
	recorder.files[file] = recordedFile{to, base, f.FpMethods}
	f.FpMethods = table
	return rc
}

func recorded(file uintptr) (recordedFile, *codes.Tsqlite3_io_methods) {
	recorder.mu.Lock()
	defer recorder.mu.Unlock()
	f := recorder.files[file]
	return f, pointer[codes.Tsqlite3_io_methods](f.methods)
}

func recordWrite(tls *libc.TLS, file, data uintptr, n int32, at int64) int32 {
	f, methods := recorded(file)
	f.to.add(diskOp{file: f.name, kind: diskWrite, at: at, data: bytes.Clone(unsafe.Slice(pointer[byte](data), n))})
	return function[writeFunc](methods.FxWrite)(tls, file, data, n, at)
}

func recordTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	f, methods := recorded(file)
	f.to.add(diskOp{file: f.name, kind: diskTruncate, at: size})
	return function[truncateFunc](methods.FxTruncate)(tls, file, size)
}

// recordSync does not wait for the disk: only that the sync was asked for matters.
func recordSync(_ *libc.TLS, file uintptr, _ int32) int32 {
	f, _ := recorded(file)
	n := f.to.len()
	f.to.add(diskOp{file: f.name, kind: diskSync, upTo: n})
	return codes.SQLITE_OK
}

func recordClose(tls *libc.TLS, file uintptr) int32 {
	f, methods := recorded(file)
	recorder.mu.Lock()
	delete(recorder.files, file)
	recorder.mu.Unlock()
	pointer[codes.Tsqlite3_file](file).FpMethods = f.methods
	return function[closeFunc](methods.FxClose)(tls, file)
}

func recordDelete(tls *libc.TLS, _, name uintptr, syncFolder int32) int32 {
	dir, base := filepath.Split(libc.GoString(name))
	recorder.mu.Lock()
	to := recorder.folders[filepath.Clean(dir)]
	recorder.mu.Unlock()
	if to != nil {
		to.add(diskOp{file: base, kind: diskDelete})
	}
	return function[deleteFunc](pointer[codes.Tsqlite3_vfs](recorder.real).FxDelete)(tls, recorder.real, name, syncFolder)
}
