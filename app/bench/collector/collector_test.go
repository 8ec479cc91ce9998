package collector_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"

	"github.com/traceroom/traceroom/app/bench/collector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func counts(t *testing.T, url string) (c collector.Counts) {
	t.Helper()
	res, err := http.Get(url + "/counts")
	require.NoError(t, err)
	defer res.Body.Close()
	require.NoError(t, json.NewDecoder(res.Body).Decode(&c))
	return c
}

func TestTheSpansOfARealExporterAreCounted(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	for name, compression := range map[string]otlptracehttp.Compression{"plain": otlptracehttp.NoCompression, "gzip": otlptracehttp.GzipCompression} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(&collector.Server{})
			defer srv.Close()
			exp, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(srv.URL+"/v1/traces"), otlptracehttp.WithCompression(compression))
			require.NoError(t, err)
			tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exp, sdktrace.WithMaxExportBatchSize(100)))
			const perScope = 333
			for range perScope {
				for _, scope := range []string{"one", "two"} {
					ctx, outer := tp.Tracer(scope).Start(t.Context(), "outer")
					_, inner := tp.Tracer(scope).Start(ctx, "inner")
					inner.End()
					outer.End()
				}
			}
			require.NoError(t, tp.Shutdown(t.Context()))
			c := counts(t, srv.URL)
			require.EqualValues(t, 4*perScope, c.Spans)
			require.Greater(t, c.Requests, int64(1))
			require.Positive(t, c.Bytes)
			require.Zero(t, c.Rejected)
		})
	}
}

func TestWhatIsNoOTLPIsRejected(t *testing.T) {
	for name, body := range map[string][]byte{
		"cut short":     {1<<3 | 2, 10, 1, 2},
		"a bare number": {1 << 3, 5},
		"no such type":  {1<<3 | 7},
		"endless":       {0xff, 0xff, 0xff},
	} {
		_, err := collector.Count(body)
		require.ErrorIs(t, err, collector.ErrMalformed, name)
	}
	n, err := collector.Count(nil)
	require.NoError(t, err)
	require.Zero(t, n)
}

func FuzzCount(f *testing.F) {
	f.Add([]byte{1<<3 | 2, 4, 2<<3 | 2, 2, 2<<3 | 2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := collector.Count(b); err == nil && n > len(b) {
			t.Fatalf("%d spans in %d bytes", n, len(b))
		}
	})
}
