package stacktest

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// compose loads docker-compose.yml as docker compose does, with the variables of env and nothing of this machine's.
func compose(t *testing.T, env ...string) *types.Project {
	dir, err := filepath.Abs(root)
	require.NoError(t, err)
	options, err := cli.NewProjectOptions([]string{filepath.Join(dir, "docker-compose.yml")},
		cli.WithWorkingDirectory(dir), cli.WithEnv(env), cli.WithProfiles([]string{"load"}), cli.WithDiscardEnvFile)
	require.NoError(t, err)
	project, err := options.LoadProject(context.Background())
	require.NoError(t, err)
	return project
}

func TestComposeStartsInOrder(t *testing.T) {
	project := compose(t)
	require.ElementsMatch(t, []string{"chat", "jaeger", "prometheus", "grafana", "load"}, project.ServiceNames())
	for name, service := range project.Services {
		if name != "load" {
			check := service.HealthCheck
			require.NotNil(t, check, "%s says whether it is well", name)
			require.Equal(t, "CMD", check.Test[0], "and needs no shell for it")
			// Services that wait for each other must all start within a minute.
			require.LessOrEqual(t, time.Duration(*check.StartPeriod), 40*time.Second)
			require.LessOrEqual(t, time.Duration(*check.StartInterval), time.Second)
		}
		for on, how := range service.DependsOn {
			require.Equal(t, types.ServiceConditionHealthy, how.Condition, "%s waits until %s is well", name, on)
		}
	}
	require.Contains(t, project.Services["chat"].DependsOn, "jaeger")
	require.Contains(t, project.Services["grafana"].DependsOn, "prometheus")
	require.Contains(t, project.Services["load"].DependsOn, "chat")
	require.Equal(t, []string{"load"}, project.Services["load"].Profiles)
	for _, name := range []string{"chat", "jaeger", "prometheus", "grafana"} {
		require.Empty(t, project.Services[name].Profiles, "%s runs without being asked for", name)
	}
}

func TestComposePinsImages(t *testing.T) {
	exact := regexp.MustCompile(`:v?\d+\.\d+\.\d+$`)
	for name, service := range compose(t).Services {
		if service.Build == nil {
			require.Regexp(t, exact, service.Image, name)
		}
	}
}

func TestComposeLimitsMemory(t *testing.T) {
	var sum types.UnitBytes
	for name, service := range compose(t).Services {
		require.Positive(t, service.MemLimit, name)
		sum += service.MemLimit
	}
	require.LessOrEqual(t, int64(sum), int64(1536<<20), "1.5 GiB for everything")
}

func TestComposeMountsWhatThereIs(t *testing.T) {
	project := compose(t)
	lasting := map[string]string{}
	for name, service := range project.Services {
		for _, mount := range service.Volumes {
			switch mount.Type {
			case types.VolumeTypeBind:
				_, err := os.Stat(mount.Source)
				require.NoError(t, err, "%s mounts %s", name, mount.Source)
				require.True(t, mount.ReadOnly, "%s has no business in changing %s", name, mount.Source)
			case types.VolumeTypeVolume:
				require.Contains(t, project.Volumes, mount.Source)
				lasting[name] = mount.Target
			}
		}
	}
	require.Equal(t, map[string]string{"chat": "/data", "prometheus": "/prometheus", "grafana": "/var/lib/grafana"}, lasting)
}

// Whatever is named as service:port anywhere listens there, according to its own configuration.
func TestPortsAreConsistent(t *testing.T) {
	listens := map[string][]string{
		"chat":       {"8000"}, // EXPOSE, and ADDR
		"prometheus": {"9090"}, // the default
		"grafana":    {"3000"}, // the default
	}
	var jaeger map[string]any
	text, err := os.ReadFile(filepath.Join(root, "dashboards/jaeger/config.yaml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &jaeger))
	for _, found := range regexp.MustCompile(`JAEGER_LISTEN_HOST:-localhost\}(?::|\s+port: )(\d+)`).FindAllStringSubmatch(string(text), -1) {
		listens["jaeger"] = append(listens["jaeger"], found[1])
	}
	require.Subset(t, listens["jaeger"], []string{"4317", "4318", "8888", "8889", "13133", "16686"})

	named := regexp.MustCompile(`\b(chat|jaeger|prometheus|grafana):(\d{4,5})\b`)
	seen := 0
	for _, path := range files(t, "docker-compose.yml", "dashboards/jaeger", "dashboards/prometheus/prometheus.yml", "dashboards/grafana/provisioning") {
		text, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		for _, found := range named.FindAllStringSubmatch(string(text), -1) {
			require.Contains(t, listens[found[1]], found[2], "%s names %s", path, found[0])
			seen++
		}
	}
	require.GreaterOrEqual(t, seen, 8)

	project := compose(t)
	for name, service := range project.Services {
		for _, port := range service.Ports {
			require.Contains(t, listens[name], ports(port.Target), "%s publishes a port that it listens on", name)
			require.Equal(t, "127.0.0.1", port.HostIP, "nobody else reaches %s unless asked for", name)
		}
		if name != "load" {
			require.NotEmpty(t, service.Ports, "people look at %s", name)
		}
	}
	// Links that browsers follow lead to where Jaeger is published.
	changed := compose(t, "JAEGER_PORT=26686")
	require.Equal(t, "26686", changed.Services["jaeger"].Ports[0].Published)
	for _, name := range []string{"chat", "grafana"} {
		require.NotNil(t, changed.Services[name].Environment["JAEGER_UI_URL"], name)
		require.Equal(t, "http://localhost:26686", *changed.Services[name].Environment["JAEGER_UI_URL"])
	}
}

func TestPortsAreDistinct(t *testing.T) {
	all := []string{"8000", "9090", "3000"}
	text, err := os.ReadFile(filepath.Join(root, "dashboards/jaeger/config.yaml"))
	require.NoError(t, err)
	for _, found := range regexp.MustCompile(`JAEGER_LISTEN_HOST:-localhost\}(?::|\s+port: )(\d+)`).FindAllStringSubmatch(string(text), -1) {
		all = append(all, found[1])
	}
	slices.Sort(all)
	require.Equal(t, slices.Compact(slices.Clone(all)), all)
}

// .env.example has every variable with its default.
func TestEnvExample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, ".env.example"))
	require.NoError(t, err)
	var example, names []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, _, ok := strings.Cut(line, "=")
		require.True(t, ok, line)
		example, names = append(example, line), append(names, name)
	}
	without, err := compose(t).MarshalYAML()
	require.NoError(t, err)
	with, err := compose(t, example...).MarshalYAML()
	require.NoError(t, err)
	require.Equal(t, string(without), string(with))

	file, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	require.NoError(t, err)
	var used []string
	for _, found := range regexp.MustCompile(`\$\{(\w+)`).FindAllStringSubmatch(string(file), -1) {
		if found[1] != "VERSION" { // set by who builds, not by who runs
			used = append(used, found[1])
		}
	}
	slices.Sort(used)
	require.ElementsMatch(t, slices.Compact(used), names)
}
