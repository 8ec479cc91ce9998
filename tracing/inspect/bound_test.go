package inspect

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// uses are the ways to read a log, as far as they differ in what they hold.
var uses = map[string][]string{
	"tree":        {"-"},
	"errors":      {"--errors", "-"},
	"room":        {"--room", "random", "--slow", "15ms", "-"},
	"json":        {"--json", "-"},
	"top":         {"top", "-"},
	"top room":    {"top", "--room", "random", "-"},
	"session":     {"session", "3f9a2b-17", "-"},
	"check":       {"check", "--allow-open", "-"},
	"export":      {"export", "--flowtrace", "-"},
	"export room": {"export", "--flowtrace", "--room", "random", "-"},
}

// hungry is a log of spans that never end, each a trace of its own, with long args: what is held for them must be let go.
type hungry struct {
	n, of int
	rest  []byte
	args  string
	tick  func()
}

func (h *hungry) Read(p []byte) (int, error) {
	if len(h.rest) == 0 {
		if h.n >= h.of {
			return 0, io.EOF
		}
		for range 100 {
			h.n++
			h.rest = fmt.Appendf(h.rest, `{"timestamp":%d,"event":"ENTER","thread":"conn-1","module":"m%d","function":"f%d","args":"{\"x\":\"%s\"}","trace_id":"%032x","span_id":"%016x"}`+"\n",
				1635789012345+h.n/1000, h.n, h.n, h.args, h.n, h.n)
		}
		if h.n%2000 == 0 {
			h.tick()
		}
	}
	n := copy(p, h.rest)
	h.rest = h.rest[n:]
	return n, nil
}

// A log of any length is read in memory that has a bound. It grows to that bound within the first part of the log.
func TestMemoryHasABound(t *testing.T) {
	const bound = 160 << 20
	peak := func(t *testing.T, log func(tick func()) io.Reader, args []string) {
		var most uint64
		var m runtime.MemStats
		measure := func() {
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
		var errs bytes.Buffer
		callOn(t, context.Background(), &Streams{In: log(measure), Out: io.Discard, Err: &errs}, args...)
		require.NotZero(t, most)
		t.Logf("%d MiB at most", most>>20)
		require.Less(t, most, uint64(bound))
		runtime.GC()
	}
	for _, name := range []string{"tree", "top", "session", "check", "export room"} {
		args := uses[name]
		t.Run(name, func(t *testing.T) {
			peak(t, func(tick func()) io.Reader {
				e := newEndless(length)
				e.tick = tick
				return e
			}, args)
		})
		t.Run(name+" of spans that never end", func(t *testing.T) {
			peak(t, func(tick func()) io.Reader {
				return &hungry{of: length / 1000, args: strings.Repeat("x", 800), tick: tick}
			}, args)
		})
	}
}

// The throughput of a gigabyte, less as much as b.N asks: go test -bench Read -benchtime 3x -cpu 1.
func BenchmarkRead(b *testing.B) {
	log, err := io.ReadAll(newEndless(256 << 20))
	require.NoError(b, err)
	log = log[:bytes.LastIndexByte(log, '\n')+1]
	for name, args := range uses {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.SetBytes(4 * int64(len(log)))
			for b.Loop() {
				var again []io.Reader
				for range 4 { // the same again: its ids come twice, but long after
					again = append(again, bytes.NewReader(log))
				}
				benchCall(b, io.MultiReader(again...), args)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	var p parser
	var l line
	lines := bytes.Split(bytes.TrimSpace(sound()), []byte("\n"))
	n := 0
	for b.Loop() {
		n = 0
		for _, s := range lines {
			if p.parse(s, &l) != nil {
				b.Fatal("bad")
			}
			n += len(s) + 1
		}
	}
	b.SetBytes(int64(n))
}
