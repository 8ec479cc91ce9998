package apptest

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Metrics reads the program's metrics: values by series, written as `name{label="value"}`, labels in the order of the
// alphabet.
func (p *Program) Metrics(t testing.TB) map[string]float64 {
	t.Helper()
	res := p.Get(t, "/metrics")
	require.Equal(t, http.StatusOK, res.Status)
	values := make(map[string]float64)
	for line := range strings.Lines(res.Body) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		require.NoErrorf(t, err, "%s", line)
		values[line[:at]] = value
	}
	return values
}
