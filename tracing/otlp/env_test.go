package otlp

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/resource"
)

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
		export, err := FromEnv(t.Context(), func(v string) string { return test.env[v] }, resource.Empty(), func(int) {})
		require.NoError(t, err)
		require.Equal(t, test.want, export != nil, name)
		if export != nil {
			require.NoError(t, export.Shutdown(t.Context()))
		}
	}
}
