package socketio_test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio/stockclient"
)

// program builds the module in testdata/outside, with the requirements and checksums of the main module, and starts it.
// It returns the address that it listens on. The program ends, and must do so well, with the test.
func program(t *testing.T) string {
	t.Helper()
	const dir = "testdata/outside"
	temp := t.TempDir()
	own, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	main, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	_, requirements, found := strings.Cut(string(main), "\nrequire ")
	require.True(t, found)
	sums, err := os.ReadFile("../../go.sum")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(temp, "go.mod"), []byte(string(own)+"\nrequire "+requirements), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(temp, "go.sum"), sums, 0o600))
	exe := filepath.Join(temp, "outside")
	build := exec.Command("go", "build", "-modfile", filepath.Join(temp, "go.mod"), "-mod=mod", "-o", exe, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	cmd := exec.Command(exe)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		require.NoError(t, cmd.Wait())
	})
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(addr)
}

func TestAnotherModuleServesStockClients(t *testing.T) {
	url := program(t)
	d := stockclient.Start(t)
	var clients []*stockclient.Client
	for _, way := range ways {
		options := stockclient.Options{"query": map[string]string{"name": way.name, "room": "lobby"}, "extraHeaders": map[string]string{"X-Greeting": "hello"}}
		for k, v := range way.options {
			options[k] = v
		}
		c := d.Open(url, options)
		welcome := c.Await("event")
		require.Equal(t, "welcome", welcome.Name)
		require.Equal(t, fmt.Sprintf(`%q "hello" "lobby"`, way.name), join(welcome.Args))
		clients = append(clients, c)
	}
	for i, from := range clients {
		from.Emit("say", map[string]any{"n": i})
		for _, c := range clients {
			said := c.Await("event")
			require.Equal(t, "said", said.Name)
			require.Equal(t, fmt.Sprintf(`%q {"n":%d}`, ways[i].name, i), join(said.Args))
		}
	}
	for _, c := range clients {
		c.Disconnect()
	}
}

// What the packages export names nothing of package ws, which is how they are made.
func TestTheExportedAPINamesNoWebSockets(t *testing.T) {
	for _, dir := range []string{".", "engineio"} {
		files, err := filepath.Glob(dir + "/*.go")
		require.NoError(t, err)
		looked := 0
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			if !ast.FileExports(file) {
				continue
			}
			looked++
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					return n.Recv == nil || ast.IsExported(strings.TrimPrefix(types.ExprString(n.Recv.List[0].Type), "*"))
				case *ast.BlockStmt:
					return false
				case *ast.ValueSpec:
					return n.Type != nil
				case *ast.SelectorExpr:
					pkg, ok := n.X.(*ast.Ident)
					require.False(t, ok && pkg.Name == "ws", "%s exports ws.%s", name, n.Sel)
				}
				return true
			})
		}
		require.Greater(t, looked, 3)
	}
}
