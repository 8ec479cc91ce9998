package stacktest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// dashboard is the part of Grafana's classic dashboard JSON that the tests need.
type dashboard struct {
	UID           string `json:"uid"`
	Title         string
	SchemaVersion int `json:"schemaVersion"`
	Templating    struct {
		List []struct {
			Name, Type string
			Query      any
			Datasource *sourceRef
		}
	}
	Annotations struct {
		List []struct {
			Name, Expr string
			BuiltIn    int `json:"builtIn"`
			Datasource sourceRef
		}
	}
	Panels []panel
	Links  []struct{ URL, Title, Type string }
}

type sourceRef struct{ Type, UID string }

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	GridPos     struct{ X, Y, W, H int } `json:"gridPos"`
	Datasource  sourceRef
	Targets     []target
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Thresholds struct{ Steps []struct{ Color string } }
			NoValue    string `json:"noValue"`
			Links      []struct{ Title, URL string }
		}
		Overrides []struct{ Matcher struct{ ID, Options string } }
	} `json:"fieldConfig"`
}

type target struct {
	RefID        string `json:"refId"`
	Datasource   sourceRef
	Expr         string
	LegendFormat string `json:"legendFormat"`
	Exemplar     bool
	Instant      bool
	// Jaeger's
	QueryType, Service, Operation string
}

// datasources is the provisioning file of them.
type datasources struct {
	Datasources []struct {
		Name, UID, Type, URL string
		IsDefault            bool           `yaml:"isDefault"`
		JSONData             map[string]any `yaml:"jsonData"`
	}
}

func provisioned(t *testing.T) datasources {
	var sources datasources
	text, err := os.ReadFile(filepath.Join(root, "dashboards/grafana/provisioning/datasources/datasources.yml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &sources))
	return sources
}

func dashboards(t *testing.T) map[string]*dashboard {
	all := make(map[string]*dashboard)
	for _, path := range files(t, "dashboards/grafana/dashboards") {
		text, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		var d dashboard
		require.NoError(t, json.Unmarshal(text, &d), path)
		// A dashboard saved in version 2 is a resource, which Grafana does not load from a file.
		var resource map[string]any
		require.NoError(t, json.Unmarshal(text, &resource))
		require.NotContains(t, resource, "apiVersion", path)
		all[filepath.Base(path)] = &d
	}
	require.Len(t, all, 2)
	return all
}

func TestDashboardsAreWellFormed(t *testing.T) {
	uids := map[string]string{}
	for _, source := range provisioned(t).Datasources {
		uids[source.UID] = source.Type
	}
	known := func(ref sourceRef, where string) {
		require.Equal(t, ref.Type, uids[ref.UID], "%s: data source %q is provisioned", where, ref.UID)
	}
	rates := regexp.MustCompile(`(rate|increase)\(`)
	seen := map[string]bool{}
	for file, d := range dashboards(t) {
		require.NotEmpty(t, d.Title)
		require.False(t, seen[d.UID], "uid %q", d.UID)
		seen[d.UID] = true
		require.GreaterOrEqual(t, d.SchemaVersion, 36, "data sources by uid")
		var instance bool
		for _, v := range d.Templating.List {
			instance = instance || v.Name == "instance"
			if v.Datasource != nil {
				known(*v.Datasource, file)
			}
		}
		require.True(t, instance, "%s can be narrowed to an instance", file)

		ids := map[int]bool{}
		var taken [][4]int
		for _, p := range d.Panels {
			where := file + ": " + p.Title
			require.NotEmpty(t, p.Title, file)
			require.False(t, ids[p.ID], "%s: id %d", where, p.ID)
			ids[p.ID] = true
			pos := p.GridPos
			require.True(t, pos.X >= 0 && pos.Y >= 0 && pos.W > 0 && pos.H > 0 && pos.X+pos.W <= 24, where)
			for _, other := range taken {
				apart := pos.X+pos.W <= other[0] || other[0]+other[2] <= pos.X || pos.Y+pos.H <= other[1] || other[1]+other[3] <= pos.Y
				require.True(t, apart, "%s overlaps another panel", where)
			}
			taken = append(taken, [4]int{pos.X, pos.Y, pos.W, pos.H})
			if p.Type == "row" {
				continue
			}
			require.Contains(t, []string{"stat", "timeseries", "heatmap", "bargauge", "table"}, p.Type, where)
			require.NotEmpty(t, p.Description, where)
			require.NotEmpty(t, p.FieldConfig.Defaults.NoValue, "%s says what it means to have no value", where)
			known(p.Datasource, where)
			require.NotEmpty(t, p.Targets, where)
			if p.Type != "table" {
				require.NotEmpty(t, p.FieldConfig.Defaults.Unit, where)
			}
			if p.Type == "stat" {
				require.NotEmpty(t, p.FieldConfig.Defaults.Thresholds.Steps, where)
			}
			refs, legends, labelled := map[string]bool{}, map[string]bool{}, false
			for _, q := range p.Targets {
				require.False(t, refs[q.RefID], where)
				refs[q.RefID] = true
				known(q.Datasource, where)
				if q.Datasource.UID == "jaeger" {
					require.NotEmpty(t, q.Service, where)
					continue
				}
				require.NotEmpty(t, q.Expr, where)
				require.NotEmpty(t, q.LegendFormat, where)
				legends[q.LegendFormat] = true
				labelled = labelled || strings.Contains(q.LegendFormat, "{{")
				if rates.MatchString(q.Expr) {
					require.Regexp(t, `\[\$__(rate_interval|range)\]`, q.Expr, "%s: the window goes with what is shown", where)
				}
				if strings.Contains(q.Expr, "{") && strings.Contains(q.Expr, `job="traceroom"`) && !strings.Contains(q.Expr, "job:") {
					require.Contains(t, q.Expr, `instance=~"$instance"`, "%s follows the instance that is chosen", where)
				}
			}
			for _, o := range p.FieldConfig.Overrides {
				if o.Matcher.ID == "byName" {
					require.True(t, labelled || legends[o.Matcher.Options], "%s: nothing is called %q", where, o.Matcher.Options)
				}
			}
		}
		for _, a := range d.Annotations.List {
			if a.BuiltIn == 0 {
				known(a.Datasource, file)
				require.NotEmpty(t, a.Expr)
			}
		}
	}
	require.True(t, seen["traceroom"], "links lead to it")
	require.True(t, seen["traceroom-runtime"], "links lead to it")
}

// Panels that show latencies have exemplars and links to Jaeger.
func TestDashboardLeadsToTraces(t *testing.T) {
	exemplars, links := 0, 0
	for _, p := range dashboards(t)["traceroom.json"].Panels {
		for _, q := range p.Targets {
			if q.Exemplar {
				require.Contains(t, q.Expr, "_bucket", p.Title)
				require.False(t, q.Instant, p.Title)
				exemplars++
			}
		}
		for _, l := range p.FieldConfig.Defaults.Links {
			if strings.HasPrefix(l.URL, "${jaeger}/search?service=traceroom") {
				links++
			}
		}
	}
	require.GreaterOrEqual(t, exemplars, 4)
	require.GreaterOrEqual(t, links, 4)
}

func TestGrafanaIsProvisioned(t *testing.T) {
	sources := provisioned(t).Datasources
	require.Len(t, sources, 2)
	prometheus, jaeger := sources[0], sources[1]
	require.Equal(t, "http://prometheus:9090", prometheus.URL)
	require.Equal(t, "http://jaeger:16686", jaeger.URL)
	require.True(t, prometheus.IsDefault)
	destinations, ok := prometheus.JSONData["exemplarTraceIdDestinations"].([]any)
	require.True(t, ok)
	require.Len(t, destinations, 2)
	require.Equal(t, "trace_id", destinations[0].(map[string]any)["name"])
	require.Equal(t, jaeger.UID, destinations[0].(map[string]any)["datasourceUid"])
	require.Equal(t, "${JAEGER_UI_URL}/trace/$${__value.raw}", destinations[1].(map[string]any)["url"])
	metrics, ok := jaeger.JSONData["tracesToMetrics"].(map[string]any)
	require.True(t, ok)
	require.Equal(t, prometheus.UID, metrics["datasourceUid"])

	// The dashboards are where the provider looks, and the first page is one of them.
	var providers struct {
		Providers []struct{ Options struct{ Path string } }
	}
	text, err := os.ReadFile(filepath.Join(root, "dashboards/grafana/provisioning/dashboards/dashboards.yml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &providers))
	grafana := compose(t).Services["grafana"]
	mounted := map[string]string{}
	for _, mount := range grafana.Volumes {
		mounted[mount.Target] = mount.Source
	}
	at := providers.Providers[0].Options.Path
	require.Contains(t, mounted, at)
	home := *grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	require.Equal(t, at, filepath.Dir(home))
	require.FileExists(t, filepath.Join(mounted[at], filepath.Base(home)))
	require.Contains(t, mounted, "/etc/grafana/provisioning")
}
