package tracing

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSQLIsSummarized(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT id, name FROM rooms WHERE id = $1":                                                                   "SELECT rooms",
		"select * from users u join messages m on m.id = u.id":                                                       "SELECT users SELECT messages",
		"INSERT INTO rooms (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING":                                        "INSERT rooms",
		"DELETE FROM users WHERE id = 'secret'":                                                                      "DELETE users",
		"UPDATE rooms SET name = 'secret' WHERE id = $1":                                                             "UPDATE rooms",
		"SELECT FROM rooms WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE":                                        "SELECT rooms",
		"SELECT number FROM nodes ORDER BY number FOR UPDATE SKIP LOCKED":                                            "SELECT nodes",
		"WITH gone AS (DELETE FROM rooms WHERE id = $1 RETURNING number)\n\tINSERT INTO old SELECT number FROM gone": "DELETE rooms INSERT old",
		"SELECT set_config('synchronous_commit', 'off', true)":                                                       "SELECT",
		"begin":  "BEGIN",
		"":       "",
		"SELECT": "SELECT",
		"FROM":   "FROM",
	} {
		require.Equal(t, want, summarize(query), query)
	}
}

func FuzzSummarize(f *testing.F) {
	f.Add("SELECT a FROM b JOIN c")
	f.Fuzz(func(t *testing.T, query string) {
		require.LessOrEqual(t, len(summarize(query)), maxSummary)
	})
}
