package main

import (
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

// The trace log's memory: buffers of this many bytes, and how old what is in one may become before it is written. They are
// small because a write that takes longer than some 20 µs has the Go runtime give the processor to another thread.
const (
	logBuffer  = 4 << 10
	logBuffers = 1024
	logFlush   = time.Second
)

// logWriter writes lines from a goroutine of its own, in order, as many at once as have come: a disk that takes its time,
// and at tens of megabytes a second every disk does now and then, keeps nobody waiting who has something to log. Only when
// all its buffers are full do writers wait. Its methods may be called from any goroutine.
//
// mu guards filling and stopped; who holds it may wait for a free buffer. Full buffers go to the goroutine by full, which
// Stop closes, and come back as spares, of which free has a token each. spareMu guards spares; it is locked last.
type logWriter struct {
	out  zapcore.WriteSyncer
	full chan logBatch
	free chan struct{}
	done chan struct{} // closed by the goroutine

	spareMu sync.Mutex
	spares  [][]byte // the one that was used last is taken first: a processor's cache still has it

	mu      sync.Mutex
	filling []byte
	stopped bool
}

// logBatch is lines to be written, and who is told when they are.
type logBatch struct {
	lines   []byte
	written chan error // nil: nobody
}

var _ zapcore.WriteSyncer = (*logWriter)(nil)

// newLogWriter returns a logWriter to out, which has to be stopped.
func newLogWriter(out zapcore.WriteSyncer) *logWriter {
	w := &logWriter{
		out: out, full: make(chan logBatch, logBuffers), free: make(chan struct{}, logBuffers), done: make(chan struct{}),
	}
	for range logBuffers - 1 {
		w.spares = append(w.spares, nil) // a buffer gets its memory when it is first needed
		w.free <- struct{}{}
	}
	go w.run()
	return w
}

// Write implements io.Writer. It keeps a copy of p, and does not fail: what cannot be written is out's to report.
func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return w.out.Write(p)
	}
	if len(w.filling) > 0 && len(w.filling)+len(p) > logBuffer {
		w.hand(nil)
	}
	if w.filling == nil {
		w.filling = make([]byte, 0, logBuffer)
	}
	w.filling = append(w.filling, p...)
	return len(p), nil
}

// hand hands what is there to the goroutine, and waits for a free buffer. mu is held.
func (w *logWriter) hand(written chan error) {
	w.full <- logBatch{w.filling, written}
	<-w.free
	w.spareMu.Lock()
	defer w.spareMu.Unlock()
	last := len(w.spares) - 1
	w.filling, w.spares = w.spares[last], w.spares[:last]
}

// Sync writes what has come so far, and waits until it is written.
func (w *logWriter) Sync() error {
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return nil
	}
	written := make(chan error, 1)
	w.hand(written)
	w.mu.Unlock()
	return <-written
}

// Stop writes what has come so far and ends the goroutine. What comes later is written at once.
func (w *logWriter) Stop() {
	w.mu.Lock()
	if !w.stopped {
		w.stopped = true
		w.full <- logBatch{lines: w.filling}
		close(w.full)
	}
	w.mu.Unlock()
	<-w.done
}

// run writes what is handed over, and now and then what is not full yet.
func (w *logWriter) run() {
	defer close(w.done)
	tick := time.NewTicker(logFlush)
	defer tick.Stop()
	for {
		select {
		case b, ok := <-w.full:
			if !ok {
				return
			}
			w.write(b)
		case <-tick.C:
			w.flush()
		}
	}
}

// flush hands over what is there, unless that would have the goroutine wait for itself: then it is busy writing.
func (w *logWriter) flush() {
	if !w.mu.TryLock() {
		return
	}
	defer w.mu.Unlock()
	if len(w.filling) == 0 || w.stopped || len(w.full) > 0 || len(w.free) == 0 {
		return
	}
	w.hand(nil)
}

func (w *logWriter) write(b logBatch) {
	var err error
	if len(b.lines) > 0 {
		_, err = w.out.Write(b.lines)
	}
	if cap(b.lines) > logBuffer {
		b.lines = nil // it held a line longer than that
	}
	w.spareMu.Lock()
	w.spares = append(w.spares, b.lines[:0])
	w.spareMu.Unlock()
	w.free <- struct{}{}
	if b.written != nil {
		b.written <- err
	}
}
