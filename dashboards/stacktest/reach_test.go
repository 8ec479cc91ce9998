package stacktest

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A health check asks where others ask: at the service's name. What listens on its container's loopback alone is not well.
func TestHealthChecksAskWhereOthersDo(t *testing.T) {
	project, names := clustered(t)
	host := regexp.MustCompile(`https?://([^:/]+)`)
	for _, name := range append([]string{"jaeger", "prometheus", "grafana"}, names...) {
		if slices.Contains(clusterNodes, name) {
			continue // the chat asks itself, at the address that it is to listen on
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

// Jaeger listens for others because it is told to, not because an image happens to say so.
func TestJaegerListensForOthers(t *testing.T) {
	listen := compose(t).Services["jaeger"].Environment["JAEGER_LISTEN_HOST"]
	require.NotNil(t, listen)
	require.Equal(t, "0.0.0.0", *listen)
}

// Who has an older engine learns what is wrong with it from where the commands are.
func TestDocumentsSayWhatTheStackRunsOn(t *testing.T) {
	require.Contains(t, read(t, "docker-compose.yml"), "start_interval", "or else it runs on older ones")
	for _, path := range []string{"README.md", "dashboards/README.md"} {
		text := strings.Join(strings.Fields(read(t, path)), " ")
		require.Contains(t, text, "Docker Engine 25", path)
		require.Contains(t, text, "Compose 2.24", path)
		require.Contains(t, text, "can't set healthcheck.start_interval", path)
	}
}
