package main

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// slowFile is a file that writes when it may.
type slowFile struct {
	may chan struct{}

	mu      sync.Mutex // guards written and synced
	written bytes.Buffer
}

func (f *slowFile) Write(p []byte) (int, error) {
	<-f.may
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.written.Write(p)
}

func (*slowFile) Sync() error { return nil }

func (f *slowFile) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.written.String()
}

func TestTheTraceLogWaitsForItsDiskOnlyWhenItsBuffersAreFull(t *testing.T) {
	file := &slowFile{may: make(chan struct{})}
	w := newLogWriter(file)
	line := strings.Repeat("x", 1023) + "\n"
	const fit = (logBuffers - 1) * logBuffer / 1024
	for range fit { // nobody lets the disk write; this does not wait all the same
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
	w.Stop()
	require.Len(t, file.text(), 5*fit*len(line), "and loses nothing")
}

func TestTheTraceLogKeepsItsOrder(t *testing.T) {
	file := &slowFile{may: make(chan struct{})}
	close(file.may)
	w := newLogWriter(file)
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
	w.Stop()
	w.Stop()
	_, _ = w.Write([]byte("late\n"))
	require.NoError(t, w.Sync())
	require.True(t, file.text() == want.String()+long+"end\nlate\n")
}
