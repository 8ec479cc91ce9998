package stacktest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPrometheusConfigurationIsValid(t *testing.T) {
	out, err := exec.Command(tool(t, "promtool"), "check", "config", "--lint=all", "--lint-fatal",
		filepath.Join(root, "dashboards/prometheus/prometheus.yml")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "rules found")
}

// The rules fire when they should, and are quiet when they should be.
func TestRules(t *testing.T) {
	var tests []string
	for _, file := range files(t, "dashboards/prometheus/tests") {
		tests = append(tests, filepath.Join(root, file))
	}
	require.NotEmpty(t, tests)
	out, err := exec.Command(tool(t, "promtool"), append([]string{"test", "rules"}, tests...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, len(tests), strings.Count(string(out), "SUCCESS"), "%s", out)
}

// Every alert has a test in which it fires.
func TestEveryAlertIsTested(t *testing.T) {
	rules := read(t, "dashboards/prometheus/rules/traceroom.yml")
	tests := read(t, "dashboards/prometheus/tests/traceroom_test.yml")
	for line := range strings.Lines(rules) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- alert: "); ok {
			require.Regexp(t, `alertname: `+name+`\n\s+exp_alerts:\n`, tests, "fires")
			require.Regexp(t, `alertname: `+name+`, exp_alerts: \[\]`, tests, "is quiet")
		}
	}
}
