package stacktest

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Health checks use the service's name, as clients do: a program that listens only on its container's loopback is not healthy.
func TestHealthChecksAskWhereOthersDo(t *testing.T) {
	project, names := clustered(t)
	host := regexp.MustCompile(`https?://([^:/]+)`)
	for _, name := range append([]string{"jaeger", "prometheus", "grafana"}, names...) {
		if slices.Contains(clusterNodes, name) {
			continue // the chat checks itself, at the address that it listens on
		}
		check := project.Services[name].HealthCheck.Test
		asked := ""
		for i, arg := range check {
			if found := host.FindStringSubmatch(arg); found != nil {
				asked = found[1]
			} else if arg == "-h" {
				asked = check[i+1]
			}
		}
		require.Equal(t, name, asked, "%s is asked by %v", name, check)
	}
}

// Jaeger listens on the network because the compose file says so, whatever the image says.
func TestJaegerListensForOthers(t *testing.T) {
	listen := compose(t).Services["jaeger"].Environment["JAEGER_LISTEN_HOST"]
	require.NotNil(t, listen)
	require.Equal(t, "0.0.0.0", *listen)
}

// Documents that have the commands say which versions they need and what an older engine prints.
func TestDocumentsSayWhatTheStackRunsOn(t *testing.T) {
	require.Contains(t, read(t, "docker-compose.yml"), "start_interval", "or else it runs on older ones")
	for _, path := range []string{"README.md", "dashboards/README.md"} {
		text := strings.Join(strings.Fields(read(t, path)), " ")
		require.Contains(t, text, "Docker Engine 25", path)
		require.Contains(t, text, "Compose 2.24", path)
		require.Contains(t, text, "can't set healthcheck.start_interval", path)
	}
}
