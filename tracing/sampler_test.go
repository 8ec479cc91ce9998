package tracing

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSamplersByTheirNames(t *testing.T) {
	env := func(name, arg string) func(string) string {
		return func(v string) string {
			return map[string]string{"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": arg}[v]
		}
	}
	for name, want := range map[string]string{
		"": "ParentBased{root:AlwaysOnSampler", "parentbased_always_on": "ParentBased{root:AlwaysOnSampler", "always_on": "AlwaysOnSampler",
		"always_off": "AlwaysOffSampler", "parentbased_always_off": "ParentBased{root:AlwaysOffSampler",
		"traceidratio": "TraceIDRatioBased{0.25}", "parentbased_traceidratio": "ParentBased{root:TraceIDRatioBased{0.25}",
	} {
		s, never, err := samplerFromEnv(env(name, "0.25"))
		require.NoError(t, err)
		require.Contains(t, s.Description(), want)
		require.Equal(t, name == "always_off", never)
	}
	for _, arg := range []string{"2", "-1", "half", "NaN"} {
		_, _, err := samplerFromEnv(env("traceidratio", arg))
		require.ErrorContains(t, err, "OTEL_TRACES_SAMPLER_ARG")
	}
	_, _, err := samplerFromEnv(env("sometimes", ""))
	require.ErrorContains(t, err, "OTEL_TRACES_SAMPLER")
}
