package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
)

// inspected is the part of what `inspect --json` prints for an operation that the test needs.
type inspected struct {
	Function, Connection, Status string
	Depth                        int
}

func runInspect(t *testing.T, p *apptest.Program, args ...string) apptest.Outcome {
	t.Helper()
	return apptest.Run(t, apptest.Options{Dir: p.Dir, Args: append([]string{"inspect"}, args...)})
}

// The inspector reads what the program writes under load, both afterwards and as it is written.
func TestTheInspectorReadsWhatTheProgramWrites(t *testing.T) {
	const speakers, messages = 4, 200
	p := apptest.Start(t, apptest.Options{})
	log := filepath.Join(p.Dir, "traceroom.jsonl")

	follow := exec.Command(apptest.Binary(t), "inspect", "--follow", "--json", "--function", "append", log)
	out, err := follow.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, follow.Start())
	followed := make(chan int)
	go func() {
		n := 0
		for lines := bufio.NewScanner(out); n < speakers*messages && lines.Scan(); n++ {
		}
		followed <- n
	}()

	var people []*apptest.Client
	for i := range speakers {
		people = append(people, p.Join(t, []string{"general", "go"}[i%2], fmt.Sprint("speaker", i)))
	}
	for i := range messages {
		for _, one := range people {
			one.Say(t, fmt.Sprint("m", i))
		}
	}
	var last apptest.Frame
	for _, one := range people {
		for range speakers / 2 { // its own message, and that of the other in the room
			_, last = one.UntilText(t, fmt.Sprint("m", messages-1))
		}
	}

	select {
	case n := <-followed:
		require.Equal(t, speakers*messages, n, "each message's trace is shown as it comes")
	case <-time.After(apptest.Patience):
		t.Error("not all messages' traces are shown as they come")
	}
	require.NoError(t, follow.Process.Signal(os.Interrupt))
	require.NoError(t, follow.Wait(), "an interrupt is no failure")
	sofar := runInspect(t, p, "check", "--allow-open")
	require.Zero(t, sofar.Code, "in the midst of it: %s%s", sofar.Stdout, sofar.Stderr)
	p.Stop(t)

	checked := runInspect(t, p, "check")
	require.Zero(t, checked.Code, checked.Stdout)
	require.Contains(t, checked.Stdout, "every ENTER has its EXIT")

	var top struct {
		Functions []struct {
			Function string
			Count    int
			Errors   int
		}
	}
	require.NoError(t, json.Unmarshal([]byte(runInspect(t, p, "top", "--json").Stdout), &top))
	counted := map[string]int{}
	for _, f := range top.Functions {
		counted[f.Function] = f.Count
		require.Zero(t, f.Errors, f.Function)
	}
	require.Equal(t, speakers*messages, counted["receive"])
	require.Equal(t, speakers*messages, counted["append"])
	require.Equal(t, speakers, counted["connect"])

	trace := strings.Split(last.TraceParent, "-")[1]
	var one struct{ Spans []inspected }
	require.NoError(t, json.Unmarshal([]byte(runInspect(t, p, "--trace", trace[:12], "--json").Stdout), &one))
	var tree []string
	for _, s := range one.Spans {
		tree = append(tree, strings.Repeat(">", s.Depth)+s.Function)
	}
	require.Equal(t, []string{"receive", ">append", ">broadcast", ">>deliver"}, tree)

	connection := one.Spans[0].Connection
	did := map[string]int{}
	for line := range strings.Lines(runInspect(t, p, "session", connection, "--json").Stdout) {
		var s inspected
		require.NoError(t, json.Unmarshal([]byte(line), &s))
		require.Equal(t, connection, s.Connection)
		did[s.Function]++
	}
	require.Equal(t, messages, did["receive"])
	require.Equal(t, 1, did["connect"])
	require.Equal(t, 1, did["disconnect"])

	whole, err := os.ReadFile(log)
	require.NoError(t, err)
	lines := bytes.Count(whole, []byte("\n"))
	for _, schema := range []string{"1", "2"} {
		exported := runInspect(t, p, "export", "--flowtrace", "--schema", schema)
		require.Equal(t, lines, strings.Count(exported.Stdout, "\n"), "schema %s", schema)
	}

	// With one broken line, all others can be read.
	at := bytes.IndexByte(whole[len(whole)/2:], '\n') + len(whole)/2 + 1
	whole[at] = 'x'
	require.NoError(t, os.WriteFile(log, whole, 0o600))
	broken := runInspect(t, p, "top", "--json")
	require.Equal(t, 1, broken.Code)
	require.Contains(t, broken.Stderr, fmt.Sprintf("traceroom.jsonl:%d: ", bytes.Count(whole[:at], []byte("\n"))+1))
	require.Contains(t, broken.Stdout, `"function":"receive"`)
}
