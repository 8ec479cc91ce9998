package stacktest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// files lists the files at and below paths of the repository.
func files(t *testing.T, paths ...string) []string {
	var all []string
	for _, path := range paths {
		err := filepath.WalkDir(filepath.Join(root, path), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			rel, err := filepath.Rel(root, path)
			all = append(all, rel)
			return err
		})
		require.NoError(t, err)
	}
	return all
}

func ports(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// read is a file of the repository.
func read(t *testing.T, path string) string {
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(text)
}
