package store

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The error for a malformed URL is one line without any part of the password, however that is written.
func TestErrorsOfOpenDoNotTellThePassword(t *testing.T) {
	for _, databaseURL := range []string{
		"postgres://ada:hunter2@127.0.0.1:1/chat",
		"postgres://ada:hunter2@127.0.0.1:x/chat",
		"postgres://ada:hunter2@127.0.0.1:1/chat?sslmode=perhaps",
		"postgres://ada:hunter2@127.0.0.1:1/chat?pool_max_conns=many",
		"postgres://ada:hunter2@127.0.0.1:1/chat?connect_timeout=soon",
		"postgres://ada:hunter2@[::1/chat",
		"postgres://ada:hun@hunter2@127.0.0.1:1/chat",
		"postgres://ada:123/hunter2@127.0.0.1:1/chat",
		"postgres://ada:123?hunter2@127.0.0.1:1/chat",
		"postgres://ada:123#hunter2@127.0.0.1:1/chat",
		"postgres://ada:123?a=hunter2@127.0.0.1:1/chat",
		"postgres://ada:%zzhunter2@127.0.0.1:1/chat",
		"postgres://127.0.0.1:1/chat?password=hunter2",
		"postgres://127.0.0.1:1/chat?password=hunter2&sslmode=perhaps",
		"postgres://127.0.0.1:1/chat?pass%77ord=hunter2&sslmode=perhaps",
		"postgres://127.0.0.1:1/chat?sslpassword=hunter2&sslkey=nowhere&sslcert=nowhere",
		"postgres://127.0.0.1:1/chat?password=hunter2=hunter2",
		"postgres://127.0.0.1:1/chat?password=a&hunter2",
		"postgres://127.0.0.1:1/chat?password=%zzhunter2",
		"postgres://127.0.0.1:1/chat?hunter2%zz=hunter2",
		"host=127.0.0.1 port=1 password=hunter2",
		"host=127.0.0.1 port=1 password=hunter2://hunter2",
		"postgres ada:hunter2@://127.0.0.1",
	} {
		_, err := Open(t.Context(), databaseURL, Options{})
		require.Error(t, err, databaseURL)
		require.NotContains(t, err.Error(), "hunter2", databaseURL)
		require.NotContains(t, err.Error(), "\n", databaseURL)
	}
}
