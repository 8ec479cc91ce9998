package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
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

const (
	// logPatience is how long a writer waits for a sink that has no buffer left. A sink that has been in one and the same
	// write all that time is stuck. It is looked at logLooks times, so that a process that stood still, and its sinks with
	// it, does not take them for stuck.
	logPatience = 100 * time.Millisecond
	logLooks    = 10
	// lastPatience is how long Stop waits for a sink that writes nothing, but has lost no line so far.
	lastPatience = time.Second
)

// errStuck is what Sync returns where a sink does not take what it is given.
var errStuck = errors.New("does not take what is written")

// logWriter writes lines to one or more sinks, each from a goroutine of its own and in order: a disk that takes its time,
// and at tens of megabytes a second every disk does now and then, keeps nobody waiting who has something to log. Only when
// all buffers of a sink are full do writers wait for it, and for one that is stuck no longer than logPatience: what comes
// then is lost to that sink, to no other, until it has taken half of what it has. The sink's goroutine marks the place.
// Its methods may be called from any goroutine.
//
// mu guards the fields below it, and those of the sinks that say so; who holds it may wait logPatience for each sink.
// Lock order: mu, then a sink's or spareMu.
type logWriter struct {
	sinks   []*logSink
	eager   bool                                     // lines do not wait for others to be written with
	tell    func(s *logSink, lines int64, err error) // that lines are lost (0: no longer); nil: nobody is told
	stop    chan struct{}
	flusher sync.WaitGroup

	spareMu sync.Mutex
	spares  []*logBatch // the one that was used last is taken first: a processor's cache still has it

	mu      sync.Mutex
	filling *logBatch
	stopped bool
}

// logBatch is whole lines to be written.
type logBatch struct {
	lines []byte
	n     int          // lines
	refs  atomic.Int32 // sinks that have yet to write it
}

// logEntry is what a sink is given.
type logEntry struct {
	batch   *logBatch
	hole    hole       // lines that were lost before the batch
	written chan error // is told when it is written; nil: nobody
}

// hole is lines that a sink has lost, and when it began to lose them and lost the last.
type hole struct {
	lines    int64
	from, to time.Time
}

func (h *hole) add(n int64, from, to time.Time) {
	if h.lines == 0 {
		h.from = from
	}
	h.lines += n
	h.to = to
}

// logSink is a place that lines are written to. Its goroutine, started by newLogWriter and ended by Stop, owns out, torn and
// broken; stuck, full and hole are guarded by the logWriter's mu.
type logSink struct {
	name    string
	out     io.Writer
	mark    func(dst []byte, h hole) []byte // appends a line that says what is missing
	places  chan struct{}                   // has an element for each entry that is not written yet
	queue   chan logEntry                   // has room for all of them
	done    chan struct{}                   // closed by the goroutine
	release func(*logBatch)

	writes  atomic.Int64 // twice those that have returned, and one while it is in one
	pending atomic.Int64 // lines in entries that are not written yet
	lost    atomic.Int64 // lines, in all
	failure atomic.Pointer[error]

	stuck bool
	full  time.Time // when it was waited for last
	hole  hole      // what was not handed over since the last entry

	torn   bool // what was written last is no whole line
	broken hole // what could not be written since the last write that did not fail

	told   int64 // of lost, when its logWriter last told of it
	losing bool  // it has told of lines that are lost
}

var _ zapcore.WriteSyncer = (*logWriter)(nil)

// newLogWriter returns a logWriter to the sinks, which share this many buffers. It has to be stopped.
func newLogWriter(buffers int, eager bool, tell func(*logSink, int64, error), sinks ...*logSink) *logWriter {
	w := &logWriter{sinks: sinks, eager: eager, tell: tell, stop: make(chan struct{}), filling: &logBatch{}}
	for _, s := range sinks {
		places := max(1, buffers/len(sinks)-1) // and one that is being filled
		s.places, s.queue, s.done = make(chan struct{}, places), make(chan logEntry, places), make(chan struct{})
		s.release = w.release
		go s.run()
	}
	w.flusher.Go(w.flush)
	return w
}

// spare returns a batch to fill. Its buffer gets its memory when it is first needed.
func (w *logWriter) spare() *logBatch {
	w.spareMu.Lock()
	defer w.spareMu.Unlock()
	last := len(w.spares) - 1
	if last < 0 {
		return &logBatch{}
	}
	b := w.spares[last]
	w.spares = w.spares[:last]
	return b
}

// release says that a sink no longer needs b.
func (w *logWriter) release(b *logBatch) {
	if b.refs.Add(-1) > 0 {
		return
	}
	if cap(b.lines) > logBuffer {
		b.lines = nil // it held a line longer than that
	}
	b.lines, b.n = b.lines[:0], 0
	w.spareMu.Lock()
	defer w.spareMu.Unlock()
	w.spares = append(w.spares, b)
}

// Write implements io.Writer. p is one line or more, of which it keeps a copy. It does not fail: what cannot be written is
// counted, and lost.
func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		for _, s := range w.sinks {
			s.lost.Add(1)
		}
		return len(p), nil
	}
	if len(w.filling.lines) > 0 && len(w.filling.lines)+len(p) > logBuffer {
		w.hand(nil)
	}
	b := w.filling
	if b.n == 0 {
		if b.lines == nil {
			b.lines = make([]byte, 0, logBuffer)
		}
	}
	b.lines = append(b.lines, p...)
	b.n++
	if w.eager {
		w.hand(nil)
	}
	return len(p), nil
}

// hand hands what is there to the sinks, and waits for those that have no place, for a while. written is told once for each
// sink; it may be nil. mu is held.
func (w *logWriter) hand(written chan error) {
	b := w.filling
	b.refs.Store(int32(len(w.sinks)))
	for _, s := range w.sinks {
		if s.offer(logEntry{batch: b, written: written}) {
			continue
		}
		s.hole.add(int64(b.n), s.full, time.Now())
		s.lost.Add(int64(b.n))
		w.release(b)
		if written != nil {
			written <- errStuck
		}
	}
	w.filling = w.spare()
}

// offer gives the sink e, with the hole before it, unless the sink is stuck. The logWriter's mu is held.
func (s *logSink) offer(e logEntry) bool {
	if s.stuck && len(s.places) > cap(s.places)/2 {
		return false // it has taken nothing, or so little that it would be waited for again at once
	}
	select {
	case s.places <- struct{}{}:
	default:
		if s.stuck = !s.wait(); s.stuck {
			return false
		}
	}
	s.stuck = false
	e.hole, s.hole = s.hole, hole{}
	if e.batch != nil {
		s.pending.Add(int64(e.batch.n))
	}
	s.queue <- e
	return true
}

// wait waits for a place. It reports false when the sink is stuck.
func (s *logSink) wait() bool {
	s.full = time.Now()
	look := time.NewTicker(logPatience / logLooks)
	defer look.Stop()
	for same, before := 0, int64(-1); same < logLooks; {
		select {
		case s.places <- struct{}{}:
			return true
		case <-look.C:
		}
		// A sink between two writes has only not had its turn yet.
		if now := s.writes.Load(); now%2 == 1 && (now == before || before < 0) {
			same++
			before = now
		} else {
			same, before = 0, now
		}
	}
	return false
}

// flush hands over once every logFlush what is there, and tells of what is lost, until Stop.
func (w *logWriter) flush() {
	tick := time.NewTicker(logFlush)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		if w.mu.TryLock() { // else there is somebody who writes, and may wait for a sink
			if !w.stopped {
				if w.filling.n > 0 {
					w.hand(nil)
				}
				w.markHoles()
			}
			w.mu.Unlock()
		}
		if w.tell != nil {
			w.tellOfLost()
		}
	}
}

// markHoles has sinks that take lines again mark what they have lost. mu is held.
func (w *logWriter) markHoles() {
	for _, s := range w.sinks {
		if s.hole.lines > 0 {
			s.offer(logEntry{})
		}
	}
}

// tellOfLost tells when a sink begins to lose lines, and when it has lost none for logFlush.
func (w *logWriter) tellOfLost() {
	for _, s := range w.sinks {
		lost := s.lost.Load()
		more := lost - s.told
		s.told = lost
		if more > 0 == s.losing {
			continue
		}
		s.losing = more > 0
		err := errStuck
		if failure := s.failure.Swap(nil); failure != nil {
			err = *failure
		}
		w.tell(s, more, err)
	}
}

// Sync writes what has come so far, and waits until it is written or a sink is found to be stuck.
func (w *logWriter) Sync() error {
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return nil
	}
	written := make(chan error, len(w.sinks))
	w.hand(written)
	w.mu.Unlock()
	var errs []error
	for range w.sinks {
		errs = append(errs, w.await(written))
	}
	return errors.Join(errs...)
}

// await waits for written while any sink gets on.
func (w *logWriter) await(written <-chan error) error {
	for before := int64(-1); ; {
		patience := time.NewTimer(lastPatience)
		select {
		case err := <-written:
			patience.Stop()
			return err
		case <-patience.C:
		}
		writes := int64(0)
		for _, s := range w.sinks {
			writes += s.writes.Load()
		}
		if writes == before {
			return errStuck
		}
		before = writes
	}
}

// Stop writes what has come so far and ends the goroutines. What comes later is lost. A sink that is stuck, or has not
// written all when ctx ends, is left alone: then Stop reports false, and the sink's out may still be in use.
func (w *logWriter) Stop(ctx context.Context) (ended bool) {
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return true
	}
	if w.filling.n > 0 {
		w.hand(nil)
	}
	w.markHoles()
	w.stopped = true
	stuck := make([]bool, len(w.sinks))
	for i, s := range w.sinks {
		stuck[i] = s.stuck
		close(s.queue)
	}
	close(w.stop)
	w.mu.Unlock()
	w.flusher.Wait()
	ended = true
	for i, s := range w.sinks {
		if !s.await(ctx, stuck[i]) {
			s.lost.Add(s.pending.Load())
			ended = false
		}
	}
	return ended
}

// await waits for the sink's goroutine while it gets on, and reports whether it has ended.
func (s *logSink) await(ctx context.Context, stuck bool) bool {
	patience := lastPatience
	if stuck {
		patience = logPatience
	}
	for {
		before := s.writes.Load()
		timer := time.NewTimer(patience)
		select {
		case <-s.done:
			timer.Stop()
			return true
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
			if s.writes.Load() == before {
				return false
			}
		}
	}
}

// run writes what the sink is given.
func (s *logSink) run() {
	defer close(s.done)
	for e := range s.queue {
		err := s.write(e)
		if e.batch != nil {
			s.pending.Add(-int64(e.batch.n))
			s.release(e.batch)
		}
		<-s.places
		if e.written != nil {
			e.written <- err
		}
	}
	_ = s.write(logEntry{}) // the mark of what could not be written before
}

// write writes an entry, behind a mark if lines are missing before it. Lines that it cannot write are missing like others.
func (s *logSink) write(e logEntry) error {
	if e.hole.lines > 0 {
		s.broken.add(e.hole.lines, e.hole.from, e.hole.to)
	}
	var err error
	if s.broken.lines > 0 {
		if _, err = s.put(s.mark(nil, s.broken)); err == nil {
			s.broken = hole{}
		}
	}
	if e.batch == nil || e.batch.n == 0 {
		return err
	}
	whole := 0
	if err == nil {
		var n int
		if n, err = s.put(e.batch.lines); err != nil {
			whole = bytes.Count(e.batch.lines[:n], []byte{'\n'})
		}
	}
	if err != nil {
		lost := int64(max(0, e.batch.n-whole))
		now := time.Now()
		s.broken.add(lost, now, now)
		s.lost.Add(lost)
		s.failure.Store(&err)
	}
	return err
}

// put writes p, which begins on a line of its own, and returns how much of it was written.
func (s *logSink) put(p []byte) (n int, err error) {
	s.writes.Add(1)
	defer s.writes.Add(1)
	if s.torn {
		if _, err := s.out.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		s.torn = false
	}
	n, err = s.out.Write(p)
	n = min(max(0, n), len(p))
	s.torn = n > 0 && p[n-1] != '\n'
	return n, err
}
