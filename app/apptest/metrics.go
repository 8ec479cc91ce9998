package apptest

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Metrics reads the program's metrics: the values by series, such as `name{label="value"}`, with labels in alphabetical order.
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
