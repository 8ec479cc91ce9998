// Command corpus keeps what a fuzz target has found: inputs of Go's fuzz cache that reach statements which no input in the
// package's testdata reaches are copied there.
//
//	go run ./.ci/corpus PACKAGE TARGET
package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: corpus PACKAGE TARGET")
		os.Exit(2)
	}
	if err := keep(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(1)
	}
}

func keep(pkg, target string) error {
	what, err := output("go", "list", "-f", "{{.ImportPath}} {{.Dir}}", pkg)
	if err != nil {
		return err
	}
	path, dir, _ := strings.Cut(what, " ")
	cache, err := output("go", "env", "GOCACHE")
	if err != nil {
		return err
	}
	found, err := inputs(filepath.Join(cache, "fuzz", path, target))
	if err != nil || len(found) == 0 {
		return err
	}
	temporary, err := os.MkdirTemp("", "corpus")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	binary := filepath.Join(temporary, "test")
	if _, err := output("go", "test", "-c", "-cover", "-o", binary, pkg); err != nil {
		return err
	}
	// reached is the statements that a run of inputs reaches.
	reached := func(run string) ([]string, error) {
		profile := filepath.Join(temporary, "profile")
		cmd := exec.Command(binary, "-test.run", run, "-test.coverprofile", profile)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", run, err, out)
		}
		content, err := os.ReadFile(profile)
		if err != nil {
			return nil, err
		}
		var list []string
		for line := range strings.Lines(string(content)) {
			if place, ok := strings.CutSuffix(strings.TrimSpace(line), " 1"); ok {
				list = append(list, place)
			}
		}
		return list, nil
	}
	list, err := reached("^" + target + "$")
	if err != nil {
		return err
	}
	known := make(map[string]bool)
	for _, place := range list {
		known[place] = true
	}
	corpus := filepath.Join(dir, "testdata", "fuzz", target)
	if err := os.MkdirAll(corpus, 0o755); err != nil {
		return err
	}
	kept := 0
	for _, in := range found {
		to := filepath.Join(corpus, in.name)
		if _, err := os.Stat(to); err == nil {
			continue
		}
		if err := os.WriteFile(to, in.content, 0o644); err != nil {
			return err
		}
		list, err := reached("^" + target + "$/^" + in.name + "$")
		if err != nil {
			return err // the input stays, as one that go test has found to fail does
		}
		news := slices.DeleteFunc(list, func(place string) bool { return known[place] })
		if len(news) == 0 {
			if err := os.Remove(to); err != nil {
				return err
			}
			continue
		}
		for _, place := range news {
			known[place] = true
		}
		kept++
	}
	_ = os.Remove(corpus) // fails unless it is empty
	fmt.Printf("%s %s: %d of %d inputs kept\n", pkg, target, kept, len(found))
	return nil
}

type input struct {
	name    string
	content []byte
}

// inputs are a folder's files, the shortest first. There need be no folder.
func inputs(dir string) (list []input, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		list = append(list, input{filepath.Base(f), content})
	}
	slices.SortFunc(list, func(a, b input) int {
		return cmp.Or(cmp.Compare(len(a.content), len(b.content)), cmp.Compare(a.name, b.name))
	})
	return list, nil
}

func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}
