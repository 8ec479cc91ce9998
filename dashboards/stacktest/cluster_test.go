package stacktest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// The services of the compose profile cluster.
var (
	clusterNodes  = []string{"node1", "node2"}
	clusterOthers = []string{"balancer", "postgres", "nats"}
)

// clustered is the compose file with the profile cluster, and the names of its services.
func clustered(t *testing.T) (*types.Project, []string) {
	project, err := compose(t).WithProfiles([]string{"cluster"})
	require.NoError(t, err)
	return project, append(append([]string{}, clusterNodes...), clusterOthers...)
}

func TestClusterStartsInOrder(t *testing.T) {
	project, names := clustered(t)
	require.ElementsMatch(t, append([]string{"chat", "jaeger", "prometheus", "grafana"}, names...), project.ServiceNames())
	for _, name := range names {
		service := project.Services[name]
		require.Equal(t, []string{"cluster"}, service.Profiles, "%s runs if asked for", name)
		require.NotNil(t, service.HealthCheck, "%s says whether it is well", name)
		require.Equal(t, "CMD", service.HealthCheck.Test[0], "and needs no shell for it")
		require.LessOrEqual(t, time.Duration(*service.HealthCheck.StartPeriod), 40*time.Second)
		for on, how := range service.DependsOn {
			require.Equal(t, types.ServiceConditionHealthy, how.Condition, "%s waits until %s is well", name, on)
		}
	}
	for _, name := range clusterNodes {
		require.Contains(t, project.Services[name].DependsOn, "postgres")
		require.Contains(t, project.Services[name].DependsOn, "nats")
		require.Contains(t, project.Services["balancer"].DependsOn, name)
	}
}

// The nodes differ from the chat only in where they keep messages, and from each other only in their names.
func TestNodesShareAllAndKeepNothing(t *testing.T) {
	project, _ := clustered(t)
	chat, first := project.Services["chat"], project.Services[clusterNodes[0]]
	for _, name := range clusterNodes {
		node := project.Services[name]
		require.Equal(t, chat.Image, node.Image)
		require.Equal(t, chat.Build, node.Build)
		require.Equal(t, chat.HealthCheck, node.HealthCheck)
		require.Equal(t, chat.MemLimit, node.MemLimit)
		require.True(t, node.ReadOnly)
		require.Equal(t, chat.CapDrop, node.CapDrop)
		require.Empty(t, node.Volumes)
		require.Empty(t, node.Ports, "clients come by the balancer")
		require.Equal(t, name, node.Hostname)
		require.Contains(t, *node.Environment["OTEL_RESOURCE_ATTRIBUTES"], "service.instance.id="+name)
		for key, value := range chat.Environment {
			if key != "OTEL_RESOURCE_ATTRIBUTES" {
				require.Equal(t, value, node.Environment[key], key)
			}
		}
		for _, key := range []string{"DATABASE_URL", "NATS_URL"} {
			require.Equal(t, first.Environment[key], node.Environment[key])
		}
	}
	db := project.Services["postgres"].Environment
	require.Equal(t, "postgres://"+*db["POSTGRES_USER"]+":"+*db["POSTGRES_PASSWORD"]+"@postgres:5432/"+*db["POSTGRES_DB"], *first.Environment["DATABASE_URL"])
	require.Equal(t, "nats://nats:4222", *first.Environment["NATS_URL"])
	for _, name := range []string{"postgres", "nats"} {
		require.Empty(t, project.Services[name].Ports, "nobody else reaches %s", name)
	}
}

func TestClusterPinsImagesAndLimitsMemory(t *testing.T) {
	project, names := clustered(t)
	var sum types.UnitBytes
	for _, name := range names {
		service := project.Services[name]
		if service.Build == nil {
			require.Regexp(t, regexp.MustCompile(`:\d+\.\d+(\.\d+)?-alpine$`), service.Image, name)
		}
		require.Positive(t, service.MemLimit, name)
		sum += service.MemLimit
		for _, mount := range service.Volumes {
			if mount.Type == types.VolumeTypeBind {
				require.DirExists(t, mount.Source)
				require.True(t, mount.ReadOnly)
			} else {
				require.Contains(t, project.Volumes, mount.Source)
			}
		}
	}
	require.LessOrEqual(t, int64(sum), int64(1<<30), "1 GiB for all that the profile adds")
}

// The balancer and Prometheus have exactly the nodes of the compose file.
func TestNodesAreFound(t *testing.T) {
	project, _ := clustered(t)
	balancer := project.Services["balancer"]
	require.Len(t, balancer.Ports, 1)
	require.Equal(t, "127.0.0.1", balancer.Ports[0].HostIP)
	text, err := os.ReadFile(filepath.Join(root, "dashboards/balancer/haproxy.cfg"))
	require.NoError(t, err)
	require.Contains(t, string(text), "bind :"+ports(balancer.Ports[0].Target))
	require.Contains(t, string(text), "httpchk GET /readyz")
	require.Regexp(t, `(?m)^\s+cookie NODE insert`, string(text), "a client that polls stays with its node")
	var servers []string
	for _, found := range regexp.MustCompile(`(?m)^\s+server (\S+) (\S+):8000 cookie (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		require.Equal(t, found[1], found[2])
		require.Equal(t, found[1], found[3])
		servers = append(servers, found[1])
	}
	require.Equal(t, clusterNodes, servers)

	var config struct {
		ScrapeConfigs []struct {
			JobName string `yaml:"job_name"`
			DNS     []struct {
				Names []string
				Port  int
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "dashboards/prometheus/prometheus.yml")), &config))
	require.Equal(t, "traceroom", config.ScrapeConfigs[0].JobName)
	require.Equal(t, clusterNodes, config.ScrapeConfigs[0].DNS[0].Names)
	require.Equal(t, 8000, config.ScrapeConfigs[0].DNS[0].Port)
}

// What passes between nodes is shown for each of them.
func TestDashboardTellsNodesApart(t *testing.T) {
	shown := map[string]bool{}
	for _, p := range dashboards(t)["traceroom.json"].Panels {
		for _, q := range p.Targets {
			for _, metric := range []string{
				"traceroom_relay_lag_seconds_bucket", "traceroom_relay_catch_up_reads_total", "traceroom_relay_reconnects_total", "traceroom_relay_connected",
			} {
				if strings.Contains(q.Expr, metric) && strings.Contains(q.LegendFormat, "{{instance}}") {
					shown[metric] = true
				}
			}
		}
	}
	require.Len(t, shown, 4)
}
