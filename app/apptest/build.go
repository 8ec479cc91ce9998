package apptest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Patience is how long a test waits for something that must happen. It is long because machines that run tests are busy; it is
// no measure of speed.
const Patience = 30 * time.Second

// Main runs the tests of a package, fails them if they leak a goroutine or if the shared program fails when it is stopped, and
// removes what was built. It is called by TestMain and does not return.
func Main(m *testing.M) {
	code := m.Run()
	if p := shared.program; p != nil {
		if err := p.end(); err != nil && code == 0 {
			fmt.Fprintf(os.Stderr, "the shared program: %v\n%s", err, tail(p.Stderr(), 8000))
			code = 1
		}
		_ = os.RemoveAll(p.Dir)
	}
	// lumberjack never ends its goroutine that removes old files.
	if err := goleak.Find(goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun")); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// built is the program, built when a test first needs it.
var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// Binary returns the path of the program, built with the race detector if the tests are.
func Binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() { built.err = build() })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

func build() error {
	dir, err := os.MkdirTemp("", "traceroom-test-")
	if err != nil {
		return err
	}
	built.dir, built.path = dir, filepath.Join(dir, "traceroom")
	args := append([]string{"build", "-o", built.path}, buildFlags...)
	out, err := exec.Command("go", append(args, "github.com/traceroom/traceroom/app")...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("the program does not build:\n%s", out)
	}
	return err
}
