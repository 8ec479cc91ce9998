package main

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTablesAreMarkdown(t *testing.T) {
	tab := table{head: []string{"server", "µs"}}
	tab.add("floor", "1.90")
	tab.add("Traceroom", "12.3")
	tab.add("short")
	var b strings.Builder
	require.NoError(t, tab.write(&b))
	require.Equal(t, ""+
		"| server    | µs   |\n"+
		"| ---       | ---: |\n"+
		"| floor     | 1.90 |\n"+
		"| Traceroom | 12.3 |\n"+
		"| short     |      |\n", b.String())
}

func TestFiguresHaveThreeDigits(t *testing.T) {
	for want, v := range map[string]float64{"0.64": 0.638, "1.40": 1.4, "12.3": 12.34, "123": 123.4, "-": math.NaN()} {
		require.Equal(t, want, figure(v))
	}
}
