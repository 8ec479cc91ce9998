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

// The trace log's buffers: the size of one in bytes, how many there are, and how long a line may wait in one before it is
// written. Buffers are small because the Go runtime hands the processor to another thread when a write takes longer than
// about 20 µs.
const (
	logBuffer  = 4 << 10
	logBuffers = 1024
	logFlush   = time.Second
)

const (
	// logPatience is how long a writer waits for a sink that has no buffer left. A sink that was in the same write all that
	// time is stuck. The sink is checked logChecks times, so that it is not found stuck because the whole process was
	// suspended.
	logPatience = 100 * time.Millisecond
	logChecks   = 10
	// lastPatience is how long Stop waits for a sink that makes no progress but is not known to be stuck.
	lastPatience = time.Second
)

// errStuck reports a sink that accepts no data.
var errStuck = errors.New("does not take what is written")

// logWriter writes lines to one or more sinks, to each in order and from a goroutine of its own. A slow disk, as every disk is
// now and then at tens of megabytes a second, therefore does not delay whoever logs. Writers wait only while all buffers of a
// sink are full, and at most logPatience for a sink that is stuck. Further lines are then lost to that sink, not to the others,
// until it has written half of what is queued for it; its goroutine then writes a line that marks the gap. All methods may be
// called from any goroutine.
//
// mu guards the fields below it, and those of the sinks that say so. Its holder may wait logPatience for each sink. Lock order:
// mu, then spareMu.
type logWriter struct {
	sinks   []*logSink
	eager   bool                                     // write each line at once, without gathering others
	report  func(s *logSink, lines int64, err error) // called when s begins to lose lines, and with lines 0 when it no longer does; may be nil
	stop    chan struct{}
	flusher sync.WaitGroup

	spareMu sync.Mutex
	spares  []*logBatch // a stack: the batch used last is likely to be in a processor's cache

	mu      sync.Mutex
	filling *logBatch
	stopped bool
}

// logBatch is complete lines to be written.
type logBatch struct {
	lines []byte
	n     int          // lines
	refs  atomic.Int32 // sinks that have not written it yet
}

// logEntry is what is queued for a sink.
type logEntry struct {
	batch   *logBatch
	hole    hole       // lines that were lost before the batch
	written chan error // receives the outcome once; may be nil
}

// hole counts lines that a sink has lost in a row, and says when the first and the last were lost.
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

// logSink is a destination of lines. Its goroutine, which newLogWriter starts and Stop ends, owns out, torn and broken. The
// logWriter's mu guards stuck, full and hole. The goroutine flush owns reported and losing.
type logSink struct {
	name    string
	out     io.Writer
	mark    func(dst []byte, h hole) []byte // appends a line that reports h
	places  chan struct{}                   // holds an element for each entry that is not written yet
	queue   chan logEntry                   // as large as places, so that sending never blocks
	done    chan struct{}                   // closed when the goroutine has ended
	release func(*logBatch)

	writes  atomic.Int64 // goes up by one when a write begins and when it returns: odd during a write
	pending atomic.Int64 // lines in entries that are not written yet
	lost    atomic.Int64 // lines in all
	failure atomic.Pointer[error]

	stuck bool
	full  time.Time // when a writer last began to wait for it
	hole  hole      // lines not queued since the last entry

	torn   bool // the last write ended within a line
	broken hole // lines not written since the last successful write

	reported int64 // lost when it was last checked
	losing   bool  // report was called for lost lines
}

var _ zapcore.WriteSyncer = (*logWriter)(nil)

// newLogWriter returns a logWriter to the sinks, which share the given number of buffers. The caller must call Stop.
func newLogWriter(buffers int, eager bool, report func(*logSink, int64, error), sinks ...*logSink) *logWriter {
	w := &logWriter{sinks: sinks, eager: eager, report: report, stop: make(chan struct{}), filling: &logBatch{}}
	for _, s := range sinks {
		places := max(1, buffers/len(sinks)-1) // one more is being filled
		s.places, s.queue, s.done = make(chan struct{}, places), make(chan logEntry, places), make(chan struct{})
		s.release = w.release
		go s.run()
	}
	w.flusher.Go(w.flush)
	return w
}

// spare returns an empty batch. Write allocates its buffer when it first needs it.
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

// release returns a sink's reference to b. b is reused when no sink refers to it.
func (w *logWriter) release(b *logBatch) {
	if b.refs.Add(-1) > 0 {
		return
	}
	if cap(b.lines) > logBuffer {
		b.lines = nil // it grew for a long line
	}
	b.lines, b.n = b.lines[:0], 0
	w.spareMu.Lock()
	defer w.spareMu.Unlock()
	w.spares = append(w.spares, b)
}

// Write implements io.Writer. p is one or more complete lines; Write copies them. It never fails: lines that cannot be written
// are counted and lost.
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
		w.enqueue(nil)
	}
	b := w.filling
	if b.lines == nil {
		b.lines = make([]byte, 0, logBuffer)
	}
	b.lines = append(b.lines, p...)
	b.n++
	if w.eager {
		w.enqueue(nil)
	}
	return len(p), nil
}

// enqueue queues the batch that is being filled for all sinks, and waits for sinks without a free place as wait does. If written is
// not nil, it receives one outcome for each sink. The caller holds mu.
func (w *logWriter) enqueue(written chan error) {
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

// offer queues e, with the hole before it. It reports false if the sink is stuck. The caller holds the logWriter's mu.
func (s *logSink) offer(e logEntry) bool {
	if s.stuck && len(s.places) > cap(s.places)/2 {
		return false // it has made so little progress that the next writer would wait again
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

// wait waits for a free place, which it takes. It reports false if the sink is stuck.
func (s *logSink) wait() bool {
	s.full = time.Now()
	tick := time.NewTicker(logPatience / logChecks)
	defer tick.Stop()
	for same, before := 0, int64(-1); same < logChecks; {
		select {
		case s.places <- struct{}{}:
			return true
		case <-tick.C:
		}
		// A sink between two writes is only waiting for the processor.
		if now := s.writes.Load(); now%2 == 1 && (now == before || before < 0) {
			same++
			before = now
		} else {
			same, before = 0, now
		}
	}
	return false
}

// flush hands over the lines that wait and reports lost lines, once every logFlush, until Stop.
func (w *logWriter) flush() {
	tick := time.NewTicker(logFlush)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		if w.mu.TryLock() { // otherwise somebody is writing, and may be waiting for a sink
			if !w.stopped {
				if w.filling.n > 0 {
					w.enqueue(nil)
				}
				w.markHoles()
			}
			w.mu.Unlock()
		}
		if w.report != nil {
			w.reportLost()
		}
	}
}

// markHoles has sinks that accept lines again mark what they have lost. The caller holds mu.
func (w *logWriter) markHoles() {
	for _, s := range w.sinks {
		if s.hole.lines > 0 {
			s.offer(logEntry{})
		}
	}
}

// reportLost calls report when a sink begins to lose lines, and when it has lost none for logFlush.
func (w *logWriter) reportLost() {
	for _, s := range w.sinks {
		lost := s.lost.Load()
		more := lost - s.reported
		s.reported = lost
		if more > 0 == s.losing {
			continue
		}
		s.losing = more > 0
		err := errStuck
		if failure := s.failure.Swap(nil); failure != nil {
			err = *failure
		}
		w.report(s, more, err)
	}
}

// Sync waits until all lines so far are written or a sink is found to be stuck.
func (w *logWriter) Sync() error {
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return nil
	}
	written := make(chan error, len(w.sinks))
	w.enqueue(written)
	w.mu.Unlock()
	var errs []error
	for range w.sinks {
		errs = append(errs, w.await(written))
	}
	return errors.Join(errs...)
}

// await waits for written for as long as any sink makes progress.
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

// Stop writes all lines so far and ends the goroutines. Lines written later are lost. Stop does not wait for a sink that is
// stuck, or that has not finished when ctx is cancelled: it then reports false, and the sink's out may still be in use.
func (w *logWriter) Stop(ctx context.Context) (ended bool) {
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return true
	}
	if w.filling.n > 0 {
		w.enqueue(nil)
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

// await waits for the sink's goroutine to end for as long as it makes progress, and reports whether it has ended.
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

// run is the sink's goroutine: it writes what is queued.
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
	_ = s.write(logEntry{}) // marks lines that could not be written before
}

// write writes an entry, after a mark if lines are missing before it. Lines that it cannot write are added to broken.
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

// put writes p, which begins a line, and returns how much of it was written. It ends a torn line first.
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
