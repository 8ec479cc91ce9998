package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// slowFile is a file whose writes wait for permission.
type slowFile struct {
	may  chan struct{}
	fail error // guarded by mu: what writes return
	room int   // guarded by mu: how many bytes a failing write still writes

	mu      sync.Mutex // guards written
	written bytes.Buffer
}

func (f *slowFile) Write(p []byte) (int, error) {
	<-f.may
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		n, _ := f.written.Write(p[:min(f.room, len(p))])
		f.room -= n
		return n, f.fail
	}
	return f.written.Write(p)
}

// fails makes writes fail from now on, after the given number of bytes; a nil error makes them succeed again.
func (f *slowFile) fails(err error, room int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.room = err, room
}

func (f *slowFile) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.written.String()
}

func slow() *slowFile { return &slowFile{may: make(chan struct{})} }

func swift() *slowFile {
	f := slow()
	close(f.may)
	return f
}

// logTo returns a trace log to these files.
func logTo(files ...*slowFile) *logWriter {
	var sinks []*logSink
	for i, f := range files {
		sinks = append(sinks, &logSink{name: fmt.Sprint(i), out: f, mark: appendLost})
	}
	return newLogWriter(logBuffers, false, nil, sinks...)
}

func (w *logWriter) write(t *testing.T, line string) {
	t.Helper()
	n, err := w.Write([]byte(line))
	require.NoError(t, err)
	require.Len(t, line, n)
}

func TestTheTraceLogWaitsForItsDiskOnlyWhenItsBuffersAreFull(t *testing.T) {
	file := slow()
	w := logTo(file)
	line := strings.Repeat("x", 1023) + "\n"
	const fit = (logBuffers - 1) * logBuffer / 1024
	file.written.Grow(5 * fit * len(line)) // growing later would take time
	for range fit {                        // the disk does not write, but this does not wait
		_, err := w.Write([]byte(line))
		require.NoError(t, err)
	}
	require.Empty(t, file.text())
	var rest sync.WaitGroup
	rest.Go(func() {
		for range 4 * fit {
			_, _ = w.Write([]byte(line))
		}
	})
	close(file.may)
	rest.Wait()
	require.True(t, w.Stop(t.Context()))
	require.Equal(t, 5*fit*len(line), len(file.text()), "and loses nothing")
}

func TestTheTraceLogKeepsItsOrder(t *testing.T) {
	file := swift()
	w := logTo(file)
	var want strings.Builder
	for i := range 50_000 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		_, err := w.Write([]byte(line))
		require.NoError(t, err)
		if i%9999 == 0 {
			require.NoError(t, w.Sync())
			require.True(t, file.text() == want.String(), "what was written before Sync is in the file")
		}
	}
	long := strings.Repeat("y", 2*logBuffer) + "\n"
	_, _ = w.Write([]byte(long))
	_, _ = w.Write([]byte("end\n"))
	require.True(t, w.Stop(t.Context()))
	require.True(t, w.Stop(t.Context()))
	require.NoError(t, w.Sync())
	require.True(t, file.text() == want.String()+long+"end\n")
}

// parts splits the text of a file into the numbers of the lines that were written and the marks of those that were lost.
func parts(t *testing.T, text string) (numbers []int, marks []hole) {
	t.Helper()
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			t.Fatal(line)
		}
		var l struct {
			Event    string
			Lines    int64
			From, To int64
		}
		if line[0] == '{' {
			require.NoError(t, json.Unmarshal([]byte(line), &l))
			require.Equal(t, "LOST", l.Event)
			marks = append(marks, hole{l.Lines, time.UnixMilli(l.From), time.UnixMilli(l.To)})
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(line)
		}
		numbers = append(numbers, n)
	}
	return numbers, marks
}

// lineOf returns a line of one kilobyte that has its number.
func lineOf(n int) string { return fmt.Sprintf("%-1023d\n", n) }

// A sink that accepts nothing is waited for once. Later lines are lost to it only; they are counted and marked.
func TestAStuckSinkLosesLinesAndCostsNobodyElseAny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck, file := slow(), swift()
		w := logTo(stuck, file)
		const most, first, second = logBuffers * logBuffer / 1024, 2 * logBuffers * logBuffer / 1024, 8
		began := time.Now()
		for i := range first {
			w.write(t, lineOf(i))
			if i%256 == 0 {
				synctest.Wait()
			}
		}
		require.Equal(t, logPatience, time.Since(began), "the first line that found no place, and no other")
		dropping := time.Now()
		time.Sleep(time.Minute) // it still accepts nothing
		for i := range second {
			w.write(t, lineOf(first+i))
		}
		numbers, marks := parts(t, file.text())
		require.Empty(t, marks)
		require.GreaterOrEqual(t, len(numbers), first)
		close(stuck.may)
		time.Sleep(2 * logFlush)
		w.write(t, lineOf(first+second))
		synctest.Wait()
		require.True(t, w.Stop(t.Context()))

		numbers, marks = parts(t, file.text())
		require.Len(t, numbers, first+second+1)
		require.Empty(t, marks)
		numbers, marks = parts(t, stuck.text())
		require.Len(t, marks, 1)
		require.EqualValues(t, first+second+1-len(numbers), marks[0].lines)
		require.Equal(t, marks[0].lines, w.sinks[0].lost.Load())
		require.Zero(t, w.sinks[1].lost.Load())
		require.Greater(t, len(numbers), most/2-2*logBuffer/1024, "as many as it had buffers for")
		require.Less(t, len(numbers), most)
		require.Equal(t, first+second, numbers[len(numbers)-1], "and what came later")
		require.False(t, marks[0].from.Before(began.Truncate(time.Millisecond)))
		require.False(t, marks[0].from.After(dropping))
		require.True(t, marks[0].to.After(dropping))
	})
}

// A disk that is slow but works is waited for, and loses nothing.
func TestASlowSinkLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := slow()
		w := logTo(file)
		done := make(chan struct{})
		var disk sync.WaitGroup
		disk.Go(func() {
			for {
				select {
				case file.may <- struct{}{}:
					time.Sleep(logPatience - time.Millisecond)
				case <-done:
					return
				}
			}
		})
		const lines = (logBuffers + 100) * logBuffer / 1024
		for i := range lines {
			w.write(t, lineOf(i))
		}
		require.True(t, w.Stop(t.Context()))
		close(done)
		disk.Wait()
		numbers, marks := parts(t, file.text())
		require.Len(t, numbers, lines)
		require.Empty(t, marks)
		require.Zero(t, w.sinks[0].lost.Load())
	})
}

// A stuck sink that then accepts a little does not make every writer wait again.
func TestASinkThatHardlyMovesIsNotWaitedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := slow()
		w := logTo(file)
		began := time.Now()
		for i := range 2 * logBuffers * logBuffer / 1024 {
			w.write(t, lineOf(i))
		}
		for i := range 100 {
			file.may <- struct{}{}
			synctest.Wait()
			for range 20 {
				w.write(t, lineOf(i))
			}
		}
		require.Equal(t, logPatience, time.Since(began))
		close(file.may)
		require.True(t, w.Stop(t.Context()))
	})
}

// A full disk loses lines; the part of a line that it has is not joined with another line.
func TestWhatCannotBeWrittenIsMarkedWhenItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := swift()
		w := logTo(file)
		w.write(t, lineOf(0))
		require.NoError(t, w.Sync())
		full := errors.New("no space left on device")
		file.fails(full, 1024+100)
		w.write(t, lineOf(1))
		w.write(t, lineOf(2))
		w.write(t, lineOf(3))
		require.ErrorIs(t, w.Sync(), full)
		w.write(t, lineOf(4))
		require.ErrorIs(t, w.Sync(), full)
		file.fails(nil, 0)
		w.write(t, lineOf(5))
		require.True(t, w.Stop(t.Context()))
		require.EqualValues(t, 3, w.sinks[0].lost.Load())
		text := strings.Split(file.text(), "\n")
		require.Len(t, text, 6, file.text())
		require.Len(t, text[2], 100, "half a line")
		numbers, marks := parts(t, strings.Join(append(text[:2:2], text[3:]...), "\n"))
		require.Equal(t, []int{0, 1, 5}, numbers)
		require.Len(t, marks, 1)
		require.EqualValues(t, 3, marks[0].lines)
	})
}

// A stuck sink delays neither the end nor the lines of the other sink.
func TestStoppingDoesNotWaitForAStuckSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck, file := slow(), swift()
		w := logTo(stuck, file)
		w.write(t, lineOf(0))
		began := time.Now()
		require.Error(t, w.Sync())
		require.False(t, w.Stop(t.Context()))
		require.LessOrEqual(t, time.Since(began), 3*lastPatience)
		numbers, _ := parts(t, file.text())
		require.Equal(t, []int{0}, numbers)
		require.EqualValues(t, 1, w.sinks[0].lost.Load())
		w.write(t, lineOf(1))
		close(stuck.may)
	})
	synctest.Test(t, func(t *testing.T) {
		stuck := slow()
		w := logTo(stuck)
		w.write(t, lineOf(0))
		ctx, cancel := context.WithTimeout(t.Context(), logPatience)
		defer cancel()
		require.False(t, w.Stop(ctx))
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
		close(stuck.may)
	})
}

func BenchmarkTheTraceLog(b *testing.B) {
	line := []byte(strings.Repeat("x", 299) + "\n")
	for _, sinks := range []int{1, 2} {
		b.Run(fmt.Sprint("sinks=", sinks), func(b *testing.B) {
			var to []*logSink
			for range sinks {
				to = append(to, &logSink{name: "nowhere", out: io.Discard, mark: appendLost})
			}
			w := newLogWriter(logBuffers, false, nil, to...)
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					_, _ = w.Write(line)
				}
			})
			w.Stop(b.Context())
		})
	}
}
