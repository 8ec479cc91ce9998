// Package stockclient lets tests drive the stock Socket.IO client, socket.io-client from npm, in a Node process. It is
// imported by tests only, and needs node and npm. Packages of npm are installed beside its sources when first used.
package stockclient

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience is how long methods wait before they fail the test.
const Patience = 30 * time.Second

// Driver is a Node process with any number of clients.
type Driver struct {
	t       testing.TB
	process *os.Process

	mu      sync.Mutex // guards in and clients
	in      *json.Encoder
	clients map[string]*Client
}

// Happening is something that happened to a client. Kind says what: connect (ID, Transport), connect_error (Message,
// Data), disconnect (Reason), upgrade (Transport), event or ack (Name, Args).
type Happening struct {
	Client    string
	Kind      string
	ID        string
	Transport string
	Message   string
	Data      json.RawMessage
	Reason    string
	Name      string
	Args      []json.RawMessage
}

// Client is one Socket.IO client. An event that wants an acknowledgement is acknowledged with its arguments.
type Client struct {
	d    *Driver
	name string
	// Happenings receives all that happens; use it or Next and Await.
	Happenings chan Happening
}

// Start starts a process that ends with the test.
func Start(t testing.TB) *Driver {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	require.True(t, ok)
	js := filepath.Join(filepath.Dir(file), "js")
	modules, err := install(js)
	require.NoError(t, err)
	cmd := exec.Command("node", filepath.Join(js, "driver.js"))
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	d := &Driver{t: t, process: cmd.Process, in: json.NewEncoder(in), clients: make(map[string]*Client)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.listen(bufio.NewScanner(out))
	}()
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Signal(syscall.SIGCONT) // it may have been killed
		kill := time.AfterFunc(Patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		<-ended
		_ = cmd.Wait()
	})
	return d
}

// install installs what the lock file names, and returns where. Test binaries may do so at the same time: each installs into
// a directory of its own, and the first that is done renames it.
func install(js string) (modules string, err error) {
	lock, err := os.ReadFile(filepath.Join(js, "package-lock.json"))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(js, fmt.Sprintf(".installed-%x", sum[:6]))
	modules = filepath.Join(dir, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules, nil
	}
	tmp, err := os.MkdirTemp(js, ".installed-tmp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	for _, name := range []string{"package.json", "package-lock.json"} {
		b, err := os.ReadFile(filepath.Join(js, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(tmp, name), b, 0o644); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, err := os.Stat(modules); err != nil {
			return "", err
		}
	}
	return modules, nil
}

func (d *Driver) listen(lines *bufio.Scanner) {
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var h Happening
		if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
			d.t.Errorf("driver said %q: %v", lines.Text(), err)
			continue
		}
		d.mu.Lock()
		c := d.clients[h.Client]
		d.mu.Unlock()
		c.Happenings <- h
	}
}

func (d *Driver) tell(op string, c *Client, more map[string]any) {
	d.t.Helper()
	command := map[string]any{"op": op, "client": c.name}
	for k, v := range more {
		command[k] = v
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	require.NoError(d.t, d.in.Encode(command))
}

// Options are the options of io() in JavaScript, such as transports or auth.
type Options map[string]any

// Open makes a client, which begins to connect. The path of url, if it has one, is the namespace.
func (d *Driver) Open(url string, options Options) *Client {
	d.t.Helper()
	d.mu.Lock()
	c := &Client{d: d, name: fmt.Sprintf("client %d", len(d.clients)+1), Happenings: make(chan Happening, 100_000)}
	d.clients[c.name] = c
	d.mu.Unlock()
	if options == nil {
		options = Options{}
	}
	d.tell("open", c, map[string]any{"url": url, "options": options})
	return c
}

// Next waits for the next happening.
func (c *Client) Next() Happening {
	c.d.t.Helper()
	select {
	case h := <-c.Happenings:
		return h
	case <-time.After(Patience):
		require.FailNow(c.d.t, "nothing happened to "+c.name)
		return Happening{}
	}
}

// Await waits for a happening of this kind, and drops those that come before it.
func (c *Client) Await(kind string) Happening {
	c.d.t.Helper()
	for {
		if h := c.Next(); h.Kind == kind {
			return h
		}
	}
}

// Emit makes the client emit an event. Arguments are encoded as JSON, with Binary in place of bytes.
func (c *Client) Emit(name string, args ...any) {
	c.d.t.Helper()
	c.d.tell("emit", c, map[string]any{"name": name, "args": nonNil(args)})
}

// Ask makes the client emit an event that wants an acknowledgement. That is a Happening when it comes.
func (c *Client) Ask(name string, args ...any) {
	c.d.t.Helper()
	c.d.tell("ask", c, map[string]any{"name": name, "args": nonNil(args)})
}

// Connect makes a client that has disconnected connect again.
func (c *Client) Connect() { c.d.tell("connect", c, nil) }

// Disconnect makes the client disconnect.
func (c *Client) Disconnect() { c.d.tell("disconnect", c, nil) }

// Freeze stops the whole process, with all of its clients, for this long.
func (d *Driver) Freeze(how time.Duration) {
	d.t.Helper()
	d.tell("freeze", &Client{}, map[string]any{"ms": how.Milliseconds()})
}

// Suspend stops the whole process, with all of its clients, until Resume or the end of the test: they hold their connections
// and neither read nor write.
func (d *Driver) Suspend() {
	d.t.Helper()
	require.NoError(d.t, d.process.Signal(syscall.SIGSTOP))
}

// Resume makes a suspended process go on.
func (d *Driver) Resume() {
	d.t.Helper()
	require.NoError(d.t, d.process.Signal(syscall.SIGCONT))
}

// Kill ends the process at once: its clients cannot say goodbye. The Driver cannot be used after that.
func (d *Driver) Kill() {
	d.t.Helper()
	require.NoError(d.t, d.process.Kill())
}

// Undefined is an argument that is undefined in JavaScript.
var Undefined = json.RawMessage(`{"$undefined":true}`)

// Binary is an argument that is binary data.
type Binary []byte

// MarshalJSON implements json.Marshaler.
func (b Binary) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"$bin": base64.StdEncoding.EncodeToString(b)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Binary) UnmarshalJSON(data []byte) error {
	var v struct {
		Bin *string `json:"$bin"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	if v.Bin == nil {
		return errors.New("stockclient: not binary")
	}
	var err error
	*b, err = base64.StdEncoding.DecodeString(*v.Bin)
	return err
}

func nonNil(args []any) []any {
	if args == nil {
		return []any{}
	}
	return args
}
