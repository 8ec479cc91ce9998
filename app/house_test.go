package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/traceroom/traceroom"

// The arrows between packages point one way, so that each package can be read and reused without those above it.
func TestArrowsBetweenPackagesPointOneWay(t *testing.T) {
	for _, rule := range []struct{ pkg, never string }{
		{"./rooms", "net/http"}, {"./rooms", "database/sql"}, {"./rooms", "go.uber.org/zap"},
		{"./rooms", "go.opentelemetry.io"}, {"./rooms", "github.com/gorilla"}, {"./rooms", "github.com/nats-io"},
		{"./rooms", module + "/"},
		{"./rooms/store", module + "/web"}, {"./rooms/store", module + "/tracing"}, {"./rooms/store", "go.opentelemetry.io"},
		{"./rooms/relay", module + "/web"}, {"./rooms/relay", module + "/tracing"}, {"./rooms/relay", "go.opentelemetry.io"},
		{"./tracing", module + "/web"}, {"./tracing", module + "/rooms/"}, {"./tracing", module + "/app"},
		{"./tracing/span", module + "/"}, {"./tracing/inspect", module + "/"},
		{"./tracing/otlp", module + "/rooms"}, {"./tracing/otlp", module + "/web"},
		{"./tracing/tracelog", module + "/rooms"}, {"./tracing/tracelog", module + "/web"},
		{"./tracing/live", module + "/rooms"}, {"./tracing/live", module + "/web"},
		{"./web", module + "/rooms/"}, {"./web", module + "/app"},
		{"./web/ws", module + "/rooms"}, {"./web/ws", module + "/tracing"}, {"./web/ws", module + "/web/socketio"},
		{"./web/workers", module + "/"}, {"./web/workers", "net"},
		{"./web/socketio/...", module + "/rooms"}, {"./web/socketio/...", module + "/tracing"},
	} {
		for _, dep := range deps(t, rule.pkg) {
			if dep != module+strings.TrimPrefix(rule.pkg, ".") {
				reached := dep == rule.never || strings.HasPrefix(dep, strings.TrimSuffix(rule.never, "/")+"/") && !standard(dep)
				require.Falsef(t, reached, "%s reaches %s", rule.pkg, dep)
			}
		}
	}
}

// What observes stands side by side: each Observer knows spans and no other Observer, and clients are served by what keeps traces
// without all that makes them.
func TestObserversKnowSpansAndNoOtherObserver(t *testing.T) {
	for pkg, allowed := range map[string][]string{
		"./tracing/otlp": {"/tracing/span"}, "./tracing/tracelog": {"/tracing/span"}, "./tracing/live": {"/tracing/span"},
		"./web": {"/tracing/span", "/tracing/live"},
	} {
		for _, dep := range deps(t, pkg) {
			if path, ok := strings.CutPrefix(dep, module); ok && strings.HasPrefix(path, "/tracing") && path != strings.TrimPrefix(pkg, ".") {
				require.Contains(t, allowed, path, "%s reaches %s", pkg, dep)
			}
		}
	}
}

// standard reports whether a package is of the standard library. uuid knows how to be a database/sql value, which takes
// one small package below database/sql.
func standard(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return !strings.Contains(first, ".")
}

var listed = map[string][]string{}

// deps returns the packages that pkg is built from.
func deps(t *testing.T, pkg string) []string {
	t.Helper()
	if list, ok := listed[pkg]; ok {
		return list
	}
	cmd := exec.Command("go", "list", "-deps", pkg)
	cmd.Dir = ".."
	out, err := cmd.Output()
	require.NoError(t, err)
	list := strings.Fields(string(out))
	require.NotEmpty(t, list)
	listed[pkg] = list
	return list
}

// There is no CORS until it is asked for. A comment marks where it would be configured.
func TestCORSIsStillToDo(t *testing.T) {
	for _, dir := range []string{"../web", "../web/socketio", "../web/socketio/engineio"} {
		files, err := filepath.Glob(dir + "/*.go")
		require.NoError(t, err)
		marked := false
		for _, name := range files {
			source, err := os.ReadFile(name)
			require.NoError(t, err)
			marked = marked || strings.Contains(string(source), "// TODO(cors): ")
			for line := range strings.Lines(string(source)) {
				require.False(t, strings.Contains(line, `"Access-Control-`) && !strings.HasSuffix(name, "_test.go"), "%s: %s", name, line)
			}
		}
		require.True(t, marked, dir)
	}
}
