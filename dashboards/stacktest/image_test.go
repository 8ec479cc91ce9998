package stacktest

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/stretchr/testify/require"
)

// image is the image that the Dockerfile makes, as a directory.
type image struct {
	root       string
	env        map[string]string
	user       uint32
	entrypoint []string
	health     []string
	workdir    string
	stop       string
}

var (
	built     image
	buildOnce sync.Once
)

// buildImage follows the Dockerfile here: it takes from the repository what .dockerignore lets through, runs the RUN lines
// with the container's directories replaced by the test's, and copies into a directory what is copied into the image.
// The Go installed here stands for that of the base image.
func buildImage(t *testing.T) *image {
	buildOnce.Do(func() {
		file, err := os.Open(filepath.Join(root, "Dockerfile"))
		require.NoError(t, err)
		defer func() { _ = file.Close() }()
		parsed, err := parser.Parse(file)
		require.NoError(t, err)
		stages, _, err := instructions.Parse(parsed.AST, nil)
		require.NoError(t, err)
		require.Len(t, stages, 2)
		require.Equal(t, "scratch", stages[1].BaseName, "nothing is in the image that is not ours")

		dir, err := os.MkdirTemp("", "stacktest-image-")
		require.NoError(t, err)
		imageDir = dir
		build, final := filepath.Join(dir, "build"), filepath.Join(dir, "final")
		runBuild(t, stages[0], build)
		built = assemble(t, stages[1], build, final)
	})
	require.NotEmpty(t, built.root, "the image was built")
	return &built
}

// imageDir is removed by TestMain.
var imageDir string

func runBuild(t *testing.T, stage instructions.Stage, dir string) {
	env := []string{"TARGETOS=" + runtime.GOOS, "TARGETARCH=" + runtime.GOARCH}
	workdir := "/"
	for _, command := range stage.Commands {
		switch c := command.(type) {
		case *instructions.WorkdirCommand:
			workdir = c.Path
			require.NoError(t, os.MkdirAll(filepath.Join(dir, workdir), 0o755))
		case *instructions.ArgCommand:
			for _, arg := range c.Args {
				if arg.Value != nil {
					env = append(env, arg.Key+"="+*arg.Value)
				}
			}
		case *instructions.CopyCommand:
			for _, source := range c.SourcePaths {
				to := path.Join(workdir, c.DestPath)
				if strings.HasSuffix(c.DestPath, "/") {
					to = path.Join(to, path.Base(source))
				}
				copyContext(t, source, filepath.Join(dir, to))
			}
		case *instructions.RunCommand:
			line := strings.NewReplacer(" /image", " "+dir+"/image", " /data", " "+dir+"/data").Replace(" " + strings.Join(c.CmdLine, " "))
			cmd := exec.Command("sh", "-ec", line)
			cmd.Dir = filepath.Join(dir, workdir)
			cmd.Env = append(os.Environ(), env...)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "RUN%s\n%s", line, out)
		default:
			require.Failf(t, "unknown instruction", "%s", command.Name())
		}
	}
}

// copyContext copies the files of the repository that a builder gets.
func copyContext(t *testing.T, source, to string) {
	file, err := os.Open(filepath.Join(root, ".dockerignore"))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	patterns, err := ignorefile.ReadAll(file)
	require.NoError(t, err)
	ignore, err := patternmatcher.New(patterns)
	require.NoError(t, err)
	copied := 0
	err = filepath.WalkDir(filepath.Join(root, source), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if skip, err := ignore.MatchesOrParentMatches(rel); err != nil || skip {
			return err
		}
		below, err := filepath.Rel(filepath.Join(root, source), name)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		copied++
		target := filepath.Join(to, below)
		return errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, text, 0o644))
	})
	require.NoError(t, err)
	require.Positive(t, copied, "COPY %s finds something", source)
}

func assemble(t *testing.T, stage instructions.Stage, build, dir string) image {
	im := image{root: dir, env: make(map[string]string)}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for _, command := range stage.Commands {
		switch c := command.(type) {
		case *instructions.CopyCommand:
			require.Equal(t, "build", c.From)
			to := filepath.Join(dir, c.DestPath)
			require.NoError(t, os.MkdirAll(to, 0o755))
			out, err := exec.Command("cp", "-a", filepath.Join(build, c.SourcePaths[0])+"/.", to).CombinedOutput()
			require.NoError(t, err, "%s", out)
			if owner, _, _ := strings.Cut(c.Chown, ":"); owner != "" && os.Geteuid() == 0 {
				id, err := strconv.Atoi(owner)
				require.NoError(t, err)
				require.NoError(t, os.Chown(to, id, id))
			}
		case *instructions.EnvCommand:
			for _, e := range c.Env {
				im.env[e.Key] = e.Value
			}
		case *instructions.UserCommand:
			id, err := strconv.ParseUint(strings.Split(c.User, ":")[0], 10, 32)
			require.NoError(t, err, "by number: there is no /etc/passwd")
			im.user = uint32(id)
		case *instructions.WorkdirCommand:
			im.workdir = c.Path
		case *instructions.EntrypointCommand:
			require.False(t, c.PrependShell)
			im.entrypoint = c.CmdLine
		case *instructions.HealthCheckCommand:
			require.Equal(t, "CMD", c.Health.Test[0], "there is no shell")
			im.health = c.Health.Test[1:]
		case *instructions.StopSignalCommand:
			im.stop = c.Signal
		}
	}
	// The image's user must be able to pass the directories above this one, which belong to the test.
	for d := dir; d != filepath.Dir(os.TempDir()) && d != "/"; d = filepath.Dir(d) {
		if info, err := os.Stat(d); err == nil && info.Mode().Perm()&0o005 != 0o005 {
			require.NoError(t, os.Chmod(d, info.Mode().Perm()|0o055))
		}
	}
	return im
}

// command is a command in the image: nothing but its files, by its user.
func (im *image) command(args []string, env map[string]string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = im.workdir
	for _, set := range []map[string]string{im.env, env} {
		for key, value := range set {
			cmd.Env = append(cmd.Env, key+"="+value)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: im.root, Credential: &syscall.Credential{Uid: im.user, Gid: im.user}}
	if os.Geteuid() != 0 {
		// Without root the user is one of a namespace of its own, in which it is whoever runs the test.
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: int(im.user), HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: int(im.user), HostID: os.Getegid(), Size: 1}}
		cmd.SysProcAttr.Credential.NoSetGroups = true
	}
	return cmd
}

func TestImage(t *testing.T) {
	im := buildImage(t)
	require.NotZero(t, im.user, "not root")
	require.Equal(t, "SIGTERM", im.stop)
	project := compose(t)
	require.Equal(t, append([]string{"CMD"}, im.health...), []string(project.Services["chat"].HealthCheck.Test))
	require.Equal(t, "off", im.env["TRACE_LOG"])
	require.Equal(t, "true", im.env["TRACE_STDOUT"])

	var size int64
	require.NoError(t, filepath.Walk(im.root, func(_ string, info fs.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return err
	}))
	require.Less(t, size, int64(40<<20), "small")
	t.Logf("the image has %.1f MB", float64(size)/1e6)

	n := newNetwork(t)
	env := map[string]string{"ADDR": "127.0.0.1:" + n.port(t, "8000")}
	n.release()
	require.Error(t, im.command(im.health, env).Run(), "unhealthy while it does not run")

	chat := start(t, "chat", im.command(im.entrypoint, env))
	eventually(t, 10*time.Second, "the health check of the image", func() error {
		out, err := im.command(im.health, env).CombinedOutput()
		if err != nil {
			return errors.New(err.Error() + ": " + string(out))
		}
		return nil
	})
	ws, resp, err := websocket.DefaultDialer.Dial("ws://"+env["ADDR"]+"/ws/general/ada", nil)
	require.NoError(t, err)
	_ = resp.Body.Close()
	require.NoError(t, ws.WriteJSON(map[string]string{"type": "message", "text": "hello", "ref": "1"}))
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(10*time.Second)))
	for echoed := false; !echoed; {
		var frame struct{ Ref string }
		require.NoError(t, ws.ReadJSON(&frame))
		echoed = frame.Ref == "1"
	}
	require.NoError(t, ws.Close())
	require.FileExists(t, filepath.Join(im.root, "data", "traceroom.db"), "what must last is on the volume")
	require.NoError(t, chat.stop(12*time.Second), "ends in time and well when Docker asks")

	// The trace log is on standard output, each ENTER with its EXIT.
	open := map[string]bool{}
	functions := map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(chat.said()))
	for lines.Scan() {
		var line struct {
			Event, Function string
			Span            string `json:"span_id"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line), lines.Text())
		switch line.Event {
		case "ENTER":
			open[line.Span] = true
		case "EXIT":
			delete(open, line.Span)
			functions[line.Function] = true
		}
	}
	require.Empty(t, open)
	for _, function := range []string{"connect", "join", "receive", "append", "broadcast", "deliver", "disconnect"} {
		require.True(t, functions[function], function)
	}
	require.NoFileExists(t, filepath.Join(im.root, "data", "traceroom.jsonl"))
}
