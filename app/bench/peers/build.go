//go:build linux

package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	gorillaExample = "github.com/gorilla/websocket/examples/chat"
	program        = "github.com/traceroom/traceroom/app"
)

// Build builds the named peers in dir. root is the module's directory. binary, if not empty, is a built Traceroom to use instead
// of building the one in root. without has the names of the peers that cannot be built on this machine, with the reasons.
func Build(ctx context.Context, root, dir, binary string, names []string) (b Built, without map[string]error, err error) {
	without = make(map[string]error)
	if b.Self, err = os.Executable(); err != nil {
		return b, nil, err
	}
	for _, name := range names {
		switch {
		case name == "floor":
		case name == "gorilla":
			b.Gorilla = filepath.Join(dir, "gorilla-chat")
			err = goBuild(ctx, root, b.Gorilla, gorillaExample)
		case name == "node":
			b.Script = filepath.Join(root, "app/bench/peers/nodesocketio/server.js")
			b.Node, err = npmInstall(ctx, filepath.Dir(b.Script))
		case b.Traceroom != "":
		case binary != "":
			b.Traceroom, err = filepath.Abs(binary)
		default:
			b.Traceroom = filepath.Join(dir, "traceroom")
			err = goBuild(ctx, root, b.Traceroom, program)
		}
		if err != nil {
			without[name] = err
		}
	}
	return b, without, nil
}

func goBuild(ctx context.Context, root, out, pkg string) error {
	return run(ctx, root, "go", "build", "-o", out, pkg)
}

// npmInstall installs the Node peer's packages unless those of its lock file are installed. It returns the path of node.
func npmInstall(ctx context.Context, dir string) (string, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "", errors.New("node is not installed")
	}
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return "", err
	}
	installed := filepath.Join(dir, "node_modules", ".bench-lock.json")
	if have, err := os.ReadFile(installed); err == nil && bytes.Equal(have, lock) {
		return node, nil
	}
	if err := run(ctx, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
		return "", err
	}
	return node, os.WriteFile(installed, lock, 0o644)
}

func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
