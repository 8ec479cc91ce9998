//go:build linux

package peers

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAServersAddressIsFoundInWhatItSays(t *testing.T) {
	for line, want := range map[string]string{
		`{"level":"info","msg":"listening","addr":"127.0.0.1:4711"}`:       "127.0.0.1:4711",
		`{"message":"listening","addr":"[::]:8000","version":"dev"}`:       "127.0.0.1:8000",
		`2026/01/02 listening on localhost:80`:                             "127.0.0.1:80",
		`listening on 127.0.0.1:9`:                                         "127.0.0.1:9",
		`{"level":"info","msg":"exporting spans","addr":"127.0.0.1:4318"}`: "",
		`listening`: "",
		``:          "",
	} {
		require.Equal(t, want, listening(line), line)
	}
}

func TestPeersAreNamedOnce(t *testing.T) {
	names := make(map[string]bool)
	for _, p := range All() {
		require.False(t, names[p.Name], p.Name)
		names[p.Name] = true
		require.NotEmpty(t, p.Title)
		require.NotEmpty(t, p.Dialect)
		require.NotNil(t, p.start)
	}
}
