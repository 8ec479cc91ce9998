package tracing

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/resource"
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

func TestNothingIsExportedUnlessTheEnvironmentAsks(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		want bool
	}{
		"nothing":            {nil, false},
		"an endpoint":        {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, true},
		"an endpoint's own":  {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318"}, true},
		"an exporter":        {map[string]string{"OTEL_TRACES_EXPORTER": "console"}, true},
		"none, by name":      {map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, false},
		"disabled":           {map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, false},
		"something else set": {map[string]string{"OTEL_SERVICE_NAME": "chat"}, false},
	} {
		export, err := newExport(t.Context(), func(v string) string { return test.env[v] }, resource.Empty(), prometheus.NewCounter(prometheus.CounterOpts{Name: "x"}))
		require.NoError(t, err)
		require.Equal(t, test.want, export != nil, name)
		if export != nil {
			require.NoError(t, export.Shutdown(t.Context()))
		}
	}
}
