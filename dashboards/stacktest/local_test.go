package stacktest

import (
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// root is the repository.
const root = "../.."

// network stands for the compose network on this machine. Every port that is named in a configuration becomes a free port
// of the loopback, the same one wherever it is named. This requires that no two services use the same port, which
// TestPortsAreDistinct checks.
type network struct {
	dir   string
	ports map[string]string
}

func newNetwork(t *testing.T) *network {
	return &network{dir: t.TempDir(), ports: make(map[string]string)}
}

// port returns the free port that replaces a container's port.
func (n *network) port(t *testing.T, container string) string {
	if n.ports[container] == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		n.ports[container] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		// Kept until all are known, so that no two get the same.
		t.Cleanup(func() { _ = l.Close() })
		listening = append(listening, l)
	}
	return n.ports[container]
}

// listening are the ports that were found and are not in use yet; see release.
var listening []net.Listener

// release frees the ports for the programs.
func (n *network) release() {
	for _, l := range listening {
		_ = l.Close()
	}
	listening = nil
}

func (n *network) url(t *testing.T, port, path string) string {
	return "http://127.0.0.1:" + n.port(t, port) + path
}

var (
	// An address of the compose network, of a container's own loopback, or of all of a container's interfaces.
	address = regexp.MustCompile(`(\b(?:chat|jaeger|prometheus|grafana|localhost|127\.0\.0\.1)|\$\{env:JAEGER_LISTEN_HOST:-localhost\}):(\d{4,5})\b`)
	// The same, where a file has the port alone.
	portOnly = regexp.MustCompile(`\bport: (\d{4,5})\b`)
	// ADDR, as the image sets it.
	everywhere = regexp.MustCompile(`^:(\d{4,5})$`)
)

// local returns text with its addresses replaced by those on this machine.
func (n *network) local(t *testing.T, text string) string {
	text = address.ReplaceAllStringFunc(text, func(s string) string {
		return "127.0.0.1:" + n.port(t, address.FindStringSubmatch(s)[2])
	})
	text = portOnly.ReplaceAllStringFunc(text, func(s string) string {
		return "port: " + n.port(t, portOnly.FindStringSubmatch(s)[1])
	})
	return everywhere.ReplaceAllStringFunc(text, func(s string) string {
		return "127.0.0.1:" + n.port(t, everywhere.FindStringSubmatch(s)[1])
	})
}

// container is a service of the compose file as it can be started here.
type container struct {
	service types.ServiceConfig
	args    []string
	env     []string
	health  []string
}

// pathStart is what may stand before a path in an argument or a setting, as in --file=/data, sqlite:///data or /data.
const pathStart = `(^|=|//|"| )`

// localPaths is text with paths of a container, alone or with something below them, as they are here.
func localPaths(text string, paths map[string]string) string {
	for target, dir := range paths {
		text = regexp.MustCompile(pathStart+regexp.QuoteMeta(target)+`(/|"|\s|$)`).ReplaceAllString(text, "${1}"+dir+"${2}")
	}
	return text
}

// container prepares a service: its mounts become directories of the test, with local addresses in their files.
func (n *network) container(t *testing.T, project *types.Project, name string, imageEnv map[string]string) *container {
	service, err := project.GetService(name)
	require.NoError(t, err)
	c := &container{service: service}
	paths := make(map[string]string)
	for _, mount := range service.Volumes {
		dir := filepath.Join(n.dir, name, mount.Target)
		if mount.Type == types.VolumeTypeBind {
			n.copyLocal(t, mount.Source, dir)
		} else {
			require.NoError(t, os.MkdirAll(dir, 0o755))
		}
		paths[mount.Target] = dir
	}
	here := func(s string) string { return n.local(t, localPaths(s, paths)) }
	for _, arg := range service.Command {
		c.args = append(c.args, here(arg))
	}
	env := maps.Clone(imageEnv)
	if env == nil {
		env = make(map[string]string)
	}
	for key, value := range service.Environment {
		if value != nil {
			env[key] = *value
		}
	}
	for _, key := range slices.Sorted(maps.Keys(env)) {
		c.env = append(c.env, key+"="+here(env[key]))
	}
	if service.HealthCheck != nil {
		require.Equal(t, "CMD", service.HealthCheck.Test[0], "the health check of %s takes no shell", name)
		for _, arg := range service.HealthCheck.Test[1:] {
			c.health = append(c.health, here(arg))
		}
	}
	return c
}

// copyLocal copies a file or directory, with local addresses and, for files that name others, local paths.
func (n *network) copyLocal(t *testing.T, from, to string) {
	info, err := os.Stat(from)
	require.NoError(t, err)
	if info.IsDir() {
		require.NoError(t, os.MkdirAll(to, 0o755))
		entries, err := os.ReadDir(from)
		require.NoError(t, err)
		for _, entry := range entries {
			n.copyLocal(t, filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name()))
		}
		return
	}
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
	// A configuration names its neighbours by their paths in the container.
	paths := map[string]string{"/etc/jaeger": filepath.Join(n.dir, "jaeger", "etc", "jaeger")}
	require.NoError(t, os.WriteFile(to, []byte(n.local(t, localPaths(string(text), paths))), 0o600))
}
