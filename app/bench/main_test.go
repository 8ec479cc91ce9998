//go:build linux

package main

import (
	"context"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/bench/load"
	"github.com/traceroom/traceroom/app/bench/peers"
)

func TestTheCommandLineIsChecked(t *testing.T) {
	opt, err := parse([]string{"-only", "idle,churn", "-sizes", "8,50", "-servers", "floor,off"})
	require.NoError(t, err)
	require.Equal(t, []string{"idle", "churn"}, opt.only)
	require.Equal(t, []int{8, 50}, opt.sizes)
	require.Equal(t, []string{"floor", "off"}, opt.servers)
	require.GreaterOrEqual(t, opt.rounds, 5, "medians of at least five rounds are promised")

	for _, wrong := range [][]string{{"-only", "sleep"}, {"-servers", "apache"}, {"-sizes", "8,x"}, {"-sizes", "0"}, {"-rounds", "0"}, {"-ack", "never"}, {"more"}} {
		_, err := parse(wrong)
		require.Error(t, err, wrong)
	}

	quick, err := parse([]string{"-quick", "-cycles", "7"})
	require.NoError(t, err)
	require.Equal(t, 1, quick.rounds)
	require.Equal(t, 7, quick.cycles, "what is quick enough stays")
}

func TestTheDocumentNamesWhatCanBeMeasured(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	listed := regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|").FindAllStringSubmatch(string(text), -1)
	require.Len(t, listed, len(scenarios))
	for i, s := range scenarios {
		require.Equal(t, s.name, listed[i][1])
	}
	for _, only := range regexp.MustCompile(`-only ([a-z,]+)`).FindAllStringSubmatch(string(text), -1) {
		_, err := parse([]string{"-only", only[1]})
		require.NoError(t, err)
	}
}

func TestOnlyTraceroomMustDeliverEverything(t *testing.T) {
	var b bench
	bad := outcome{Result: load.Result{Lost: 3, Delivered: 97, Members: 10}}
	for _, p := range peers.All() {
		b.note(p, bad)
	}
	require.Len(t, b.wrong, 3)
	require.Contains(t, b.wrong[0], "3 (3.0 %)")
	b.note(own("traceroom"), outcome{})
	require.Len(t, b.wrong, 3)
}

func TestTheCostOfADelivery(t *testing.T) {
	o := outcome{Result: load.Result{ServerCPU: time.Second, Deliveries: 2_000_000, Seconds: 2, OtherCPU: 500 * time.Millisecond}}
	require.InDelta(t, 0.5, o.perDelivery(), 1e-9)
	require.InDelta(t, 0.25, o.others(), 1e-9)
	o.OtherCPU = -time.Second
	require.Zero(t, o.others())
	require.True(t, math.IsNaN(series{}.median(outcome.perDelivery)))
}

func TestAViewerReadsUntilItIsEnded(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != livePath {
			return // a stream that ends by itself
		}
		for range 3 {
			_, _ = io.WriteString(w, "event: traces\ndata: {}\n\nevent: numbers\ndata: {}\n\n")
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	require.Error(t, watch(t.Context(), server.URL+"/ends", io.Discard))
	said := &ending{on: "watching", end: end}
	require.NoError(t, watch(ctx, server.URL+livePath, said))
	require.Contains(t, said.String(), "saw 3 events of traces")
}

func TestHowFarAMedianMayBeOff(t *testing.T) {
	require.Zero(t, doubtful([]float64{1.01, 1.01, 1.01, 1.01}))
	even := doubtful([]float64{0.98, 0.99, 1, 1.01, 1.02, 1.03, 1.04, 1.05})
	require.InDelta(t, 0.013, even, 0.003)
	require.InDelta(t, even, doubtful([]float64{0.98, 0.99, 1, 1.01, 1.02, 1.03, 1.04, 9}), 1e-9, "one disturbed round does not matter")
}

// ending calls end when something is written to it.
type ending struct {
	strings.Builder
	on  string
	end func()
}

func (e *ending) Write(p []byte) (int, error) {
	if strings.Contains(string(p), e.on) {
		e.end()
	}
	return e.Builder.Write(p)
}
