package pgtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTimeout is how long PostgreSQL may take to start, or to end.
const startTimeout = 60 * time.Second

// T is what a Server needs of its test. A testing.TB is one.
type T interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Server is a PostgreSQL server. URL and Database may be called from any goroutine, the other methods by one at a time.
type Server struct {
	t        T
	dir      string
	bin      string
	settings []string
	port     int
	as       *syscall.Credential // the user that it runs as; nil: this process's
	next     atomic.Int32        // numbers the databases

	pid    int        // of the shell that runs the script leashed
	ended  chan error // receives when that has ended; nil: not running
	leash  io.Closer  // its standard input: when that is closed, as at the end of this process, the server shuts down
	output *os.File
}

// Start makes an empty database cluster and runs PostgreSQL on it until the end of the test. settings of the form "name=value" override
// those that make tests fast, such as fsync=off. The test fails if PostgreSQL is not installed.
func Start(t T, settings ...string) *Server {
	t.Helper()
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: another user could not enter it.
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{t: t, dir: dir, bin: bin, settings: settings}
	if os.Geteuid() == 0 {
		// PostgreSQL refuses to run as root.
		if s.as, err = unprivileged(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	s.output, err = os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.output.Close() })

	initdb := s.command(filepath.Join(bin, "initdb"), "-D", s.data(), "-U", "traceroom", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if err := initdb.Run(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, s.log())
	}
	t.Cleanup(s.Stop)
	s.Run()
	return s
}

// binaries finds the folder of PostgreSQL's programs.
func binaries() (string, error) {
	folders := filepath.SplitList(os.Getenv("PATH"))
	packaged, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian does not put them on the PATH
	slices.Reverse(packaged)
	for _, folder := range append(folders, packaged...) {
		found := true
		for _, name := range []string{"initdb", "postgres"} {
			if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.IsDir() {
				found = false
			}
		}
		if found {
			return folder, nil
		}
	}
	return "", fmt.Errorf("PostgreSQL's initdb and postgres are neither on the PATH nor in /usr/lib/postgresql/*/bin: install it (on Debian: apt-get install postgresql-15)")
}

// unprivileged returns a user that PostgreSQL can run as.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
		if uerr == nil && gerr == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command returns a command that runs as PostgreSQL's user.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	cmd.Stdout, cmd.Stderr = s.output, s.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true}
	return cmd
}

// Run starts the server, or starts it again on the same port with what it has stored, and waits until it answers.
func (s *Server) Run() {
	s.t.Helper()
	if s.ended != nil {
		return
	}
	for try := 0; ; try++ {
		if s.port == 0 {
			s.port = freePort(s.t)
		}
		err := s.run()
		if err == nil {
			return
		}
		if try == 5 || !strings.Contains(s.log(), "Address already in use") {
			s.t.Fatalf("postgres: %v\n%s", err, s.log())
		}
		s.port = 0 // another process has taken it meanwhile
	}
}

// leashed runs postgres until it ends, or until standard input is closed, so that no server outlives its test.
const leashed = `exec 3<&0
"$@" </dev/null 3<&- & server=$!
(cat <&3 >/dev/null; kill -INT $server) 2>/dev/null & watch=$!
wait $server; code=$?
kill $watch 2>/dev/null
exit $code`

// run starts the server and waits until it answers.
func (s *Server) run() error {
	args := []string{"-c", leashed, "sh", filepath.Join(s.bin, "postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port)}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=" + s.dir, "max_connections=200", "shared_buffers=64MB",
		"fsync=off", "log_min_messages=warning",
	}, s.settings...) {
		args = append(args, "-c", setting)
	}
	cmd := s.command("sh", args...)
	leash, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.pid = cmd.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for begin := time.Now(); ; {
		select {
		case err := <-ended:
			return fmt.Errorf("ended: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			_ = conn.Close(ctx)
			cancel()
			s.ended, s.leash = ended, leash
			return nil
		}
		cancel()
		if time.Since(begin) > startTimeout {
			_ = leash.Close()
			<-ended
			return err
		}
	}
}

func freePort(t T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Stop shuts the server down, which ends its connections, and waits for it. Stopping again does nothing.
func (s *Server) Stop() {
	s.t.Helper()
	if s.ended == nil {
		return
	}
	_ = s.leash.Close()
	s.await()
}

// Crash ends the server as a crash would: it recovers when it is run again.
func (s *Server) Crash() {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		s.t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		s.t.Fatal(err)
	}
	s.await()
	_ = s.leash.Close()
}

// Pause suspends the server's processes: connections stay open, and nothing is answered until Resume. It needs Linux's /proc. The server
// is resumed at the end of the test.
func (s *Server) Pause() {
	s.t.Helper()
	s.t.Cleanup(s.Resume)
	s.signal(syscall.SIGSTOP)
}

// Resume ends a Pause.
func (s *Server) Resume() {
	s.t.Helper()
	if s.ended != nil {
		s.signal(syscall.SIGCONT)
	}
}

// signal sends a signal to all processes of the server, to each before those that it has started.
func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	children := make(map[int][]int)
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// PID (NAME) STATE PARENT …: the name may hold anything.
		pid, _, _ := strings.Cut(string(text), " ")
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if id, err := strconv.Atoi(pid); err == nil && len(fields) > 1 {
			if parent, err := strconv.Atoi(fields[1]); err == nil {
				children[parent] = append(children[parent], id)
			}
		}
	}
	if len(children) == 0 {
		s.t.Fatal("pgtest: /proc does not tell of processes")
	}
	var each func(pid int)
	each = func(pid int) {
		_ = syscall.Kill(pid, sig) // it may have ended
		for _, child := range children[pid] {
			each(child)
		}
	}
	for _, pid := range children[s.pid] {
		each(pid)
	}
}

// await waits until the server has ended.
func (s *Server) await() {
	s.t.Helper()
	select {
	case <-s.ended:
		s.ended = nil
	case <-time.After(startTimeout):
		s.t.Fatalf("postgres does not end\n%s", s.log())
	}
}

// PID returns the id of a process whose descendants are all the processes of the running server.
func (s *Server) PID() int { return s.pid }

// Address returns the host and port where the server listens.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL returns the URL of a database.
func (s *Server) URL(database string) string {
	return "postgres://traceroom@" + s.Address() + "/" + database + "?sslmode=disable"
}

// Database creates an empty database and returns its URL. The server must be running.
func (s *Server) Database(t T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	name := fmt.Sprint("test", s.next.Add(1))
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return s.URL(name)
}

// log returns the end of the server's output.
func (s *Server) log() string {
	text, err := os.ReadFile(s.output.Name())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}
