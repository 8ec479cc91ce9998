package stacktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/graph"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

const (
	loadPeople   = "25"
	loadDuration = "40s"
	// What Grafana puts for $__rate_interval while a quarter of an hour is shown: four scrape intervals.
	rateInterval = "20s"
)

// stack is the demo stack, running: all of docker-compose.yml but Grafana, which cannot be built from a module.
type stack struct {
	*network
	project    *types.Project
	programs   map[string]*program
	chat       string
	jaeger     jaeger
	prometheus prometheus
}

// startStack starts the services in the order that the compose file has, each when those it waits for are healthy.
func startStack(t *testing.T) *stack {
	im := buildImage(t)
	s := &stack{network: newNetwork(t), project: compose(t), programs: make(map[string]*program)}
	paths := map[string]string{
		"jaeger": tool(t, "jaeger"), "prometheus": tool(t, "prometheus"), "promtool": tool(t, "promtool"), "k6": tool(t, "k6"),
		"chat": filepath.Join(im.root, im.entrypoint[0]), im.entrypoint[0]: filepath.Join(im.root, im.entrypoint[0]),
	}
	containers := map[string]*container{}
	for _, name := range []string{"chat", "jaeger", "prometheus"} {
		var env map[string]string
		if name == "chat" {
			env = im.env
		}
		containers[name] = s.container(t, s.project, name, env)
	}
	// The one thing that the image leaves to the default.
	containers["prometheus"].args = append(containers["prometheus"].args, "--web.listen-address=127.0.0.1:"+s.port(t, "9090"))
	containers["jaeger"].env = append(containers["jaeger"].env, "JAEGER_LISTEN_HOST=127.0.0.1")
	s.chat = s.url(t, "8000", "")
	s.jaeger = jaeger(s.url(t, "16686", ""))
	s.prometheus = prometheus(s.url(t, "9090", ""))
	s.release()

	project, err := s.project.WithSelectedServices([]string{"chat", "jaeger", "prometheus"}, types.IgnoreDependencies)
	require.NoError(t, err)
	var order []string
	require.NoError(t, graph.InDependencyOrder(context.Background(), project, func(_ context.Context, name string, _ types.ServiceConfig) error {
		order = append(order, name)
		return nil
	}, graph.WithMaxConcurrency(1)))
	require.Len(t, order, 3)
	began := time.Now()
	for _, name := range order {
		c := containers[name]
		cmd := exec.Command(paths[name], c.args...)
		cmd.Env = c.env
		s.programs[name] = start(t, name, cmd)
		eventually(t, 30*time.Second, name+" is healthy", func() error {
			select {
			case <-s.programs[name].done:
				require.FailNow(t, name+" ended", s.programs[name].tail())
			default:
			}
			return healthy(context.Background(), c, paths)
		})
	}
	require.Less(t, time.Since(began), time.Minute, "all is there within a minute")
	t.Logf("started %v in %s", order, time.Since(began).Round(100*time.Millisecond))
	return s
}

// load runs the load script as the compose file does; the error is how k6 ended: its status is not 0 if a threshold was
// crossed.
func (s *stack) load(t *testing.T) *program {
	c := s.container(t, s.project, "load", nil)
	cmd := exec.Command(tool(t, "k6"), c.args...)
	cmd.Env = append(c.env, "PEOPLE="+loadPeople, "DURATION="+loadDuration, "HOME="+s.dir)
	return start(t, "k6", cmd)
}

func TestStack(t *testing.T) {
	s := startStack(t)
	traceID := visit(t, s.chat)
	k6 := s.load(t)

	t.Run("a message's trace has all its parts", func(t *testing.T) { s.messageTrace(t, traceID) })
	t.Run("the page links to Jaeger", s.page)
	t.Run("the scrapes work", s.scrapes)
	// Rates and the rules' steps need a few scrapes.
	t.Run("every panel shows something", s.panels)
	t.Run("every rule works, and no alert is raised", s.rules)
	t.Run("every link of the data sources works", s.sources)

	select {
	case <-k6.done:
	case <-time.After(2 * time.Minute):
		require.Fail(t, "k6 does not end")
	}
	require.NoError(t, k6.err, "the load script's thresholds are met")
	require.Contains(t, k6.said(), "chat_echo")

	t.Run("Jaeger finds every operation", s.operations)
	t.Run("Jaeger's span metrics reach Prometheus and the Monitor tab", s.spanMetrics)
	t.Run("exemplars name traces that Jaeger has", s.exemplars)
	t.Run("nothing that is linked to is missing", s.references)
	t.Run("nothing was lost", s.losses)
	t.Run("the memory limits are enough", s.memory)
	t.Run("the end is told too", s.end)
}

func (s *stack) messageTrace(t *testing.T, id string) {
	var message *trace
	eventually(t, 20*time.Second, "the trace is complete", func() (err error) {
		message, err = s.jaeger.trace(id)
		if err == nil && len(message.Spans) < len(edges) {
			err = fmt.Errorf("%d spans", len(message.Spans))
		}
		return err
	})
	require.Len(t, message.Spans, len(edges), "and nothing else")
	for _, edge := range edges {
		child := message.find(edge.span)
		require.NotNil(t, child, edge.span)
		require.NotEmpty(t, child.tag("traceroom.connection.id"), edge.span)
		_, parent := child.reference("CHILD_OF")
		if edge.parent == "" {
			require.Empty(t, parent, "%s begins the trace", edge.span)
			continue
		}
		require.Equal(t, message.find(edge.parent).SpanID, parent, "%s is part of %s", edge.span, edge.parent)
	}
	deliver := message.find("deliver room/{room}")
	require.EqualValues(t, 2, deliver.tag("traceroom.recipients"))
	require.EqualValues(t, 2, deliver.tag("traceroom.written"))
	require.EqualValues(t, 0, deliver.tag("traceroom.dropped"))

	// The connection that it came by is one link away.
	receive := message.find("receive room/{room}")
	connectTrace, connectSpan := receive.reference("FOLLOWS_FROM")
	require.NotEmpty(t, connectTrace)
	connect, err := s.jaeger.trace(connectTrace)
	require.NoError(t, err)
	require.Equal(t, connectSpan, connect.find("GET /ws/{room_id}/{client_id}").SpanID)
	require.Equal(t, receive.tag("traceroom.connection.id"), connect.find("join room/{room}").tag("traceroom.connection.id"))
}

func (s *stack) page(t *testing.T) {
	resp, err := http.Get(s.chat + "/")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	html, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(html), string(s.jaeger), "the page knows where Jaeger's pages are")
}

func (s *stack) scrapes(t *testing.T) {
	eventually(t, 30*time.Second, "every target is up", func() error {
		result, err := s.prometheus.query("up")
		if err != nil {
			return err
		}
		up := map[string]float64{}
		for _, r := range result {
			up[r.Metric["job"]] = r.number()
		}
		if !maps.Equal(up, map[string]float64{"traceroom": 1, "jaeger": 1, "spans": 1}) {
			return fmt.Errorf("up: %v", up)
		}
		return nil
	})
}

// shown is a query as Grafana sends it.
func shown(expr string) string {
	return strings.NewReplacer("$__rate_interval", rateInterval, "$__range", "15m", "$instance", ".+").Replace(expr)
}

func (s *stack) panels(t *testing.T) {
	queries := 0
	for file, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			if v.Type != "query" {
				continue
			}
			query := v.Query.(map[string]any)["query"].(string)
			found := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(query)
			require.NotNil(t, found, query)
			eventually(t, 30*time.Second, "values of "+v.Name, func() error {
				result, err := s.prometheus.query("count by (" + found[2] + ") (" + found[1] + ")")
				if err == nil && (len(result) != 1 || result[0].Metric[found[2]] == "") {
					err = fmt.Errorf("%v", result)
				}
				return err
			})
		}
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				queries++
				where := file + ": " + p.Title + ": " + q.RefID
				if q.Datasource.UID == "jaeger" {
					eventually(t, 20*time.Second, where, func() error {
						found, err := s.jaeger.search(url.Values{"service": {q.Service}, "operation": {q.Operation}, "limit": {"20"}, "lookback": {"15m"}})
						if err == nil && len(found) == 0 {
							err = errors.New("no traces")
						}
						return err
					})
					continue
				}
				eventually(t, 30*time.Second, where, func() error { return s.prometheus.hasData(shown(q.Expr)) })
			}
			// Ways to Jaeger name operations that there are.
			for _, l := range p.FieldConfig.Defaults.Links {
				if _, query, ok := strings.Cut(l.URL, "${jaeger}/search?"); ok {
					values, err := url.ParseQuery(query)
					require.NoError(t, err)
					// Whether one was so slow, or failed, is chance.
					values.Del("minDuration")
					values.Del("tags")
					found, err := s.jaeger.search(values)
					require.NoError(t, err, l.URL)
					require.NotEmpty(t, found, l.URL)
				}
			}
		}
		for _, a := range d.Annotations.List {
			if a.BuiltIn == 0 {
				_, err := s.prometheus.query(shown(a.Expr))
				require.NoError(t, err)
			}
		}
	}
	t.Logf("%d queries of panels", queries)
}

func (s *stack) rules(t *testing.T) {
	var all []rule
	eventually(t, 40*time.Second, "all rules have been evaluated", func() (err error) {
		all, err = s.prometheus.rules()
		for _, r := range all {
			if err == nil && r.Health != "ok" {
				err = fmt.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
		return err
	})
	require.NotEmpty(t, all)
	for _, r := range all {
		if r.Type == "recording" {
			eventually(t, 30*time.Second, r.Name, func() error { return s.prometheus.hasData(r.Name) })
			continue
		}
		require.NotEqual(t, "firing", r.State, r.Name)
		selectors, err := s.prometheus.selectors(r.Query)
		require.NoError(t, err)
		require.NotEmpty(t, selectors, r.Name)
		for _, selector := range selectors {
			require.NoError(t, s.prometheus.hasData(selector), "%s reads what there is", r.Name)
		}
	}
}

func (s *stack) sources(t *testing.T) {
	for _, source := range provisioned(t).Datasources {
		local := s.local(t, source.URL)
		require.NotEqual(t, source.URL, local)
		resp, err := http.Get(local)
		require.NoError(t, err, source.Name)
		_ = resp.Body.Close()
		metrics, ok := source.JSONData["tracesToMetrics"].(map[string]any)
		if !ok {
			continue
		}
		for _, q := range metrics["queries"].([]any) {
			q := q.(map[string]any)
			eventually(t, 30*time.Second, q["name"].(string), func() error { return s.prometheus.hasData(q["query"].(string)) })
		}
	}
}

func (s *stack) operations(t *testing.T) {
	services, err := s.jaeger.services()
	require.NoError(t, err)
	require.Equal(t, []string{"traceroom"}, services)
	eventually(t, 20*time.Second, "Jaeger knows the operations", func() error {
		found, err := s.jaeger.operations("traceroom")
		if err != nil {
			return err
		}
		for _, op := range operations {
			if found[op.span] != op.kind {
				return fmt.Errorf("%q is of kind %q, not %q, among %v", op.span, found[op.span], op.kind, found)
			}
		}
		return nil
	})
	for _, op := range operations {
		found, err := s.jaeger.search(url.Values{"service": {"traceroom"}, "operation": {op.span}, "limit": {"1"}, "lookback": {"1h"}})
		require.NoError(t, err)
		require.NotEmpty(t, found, op.span)
	}
}

func (s *stack) spanMetrics(t *testing.T) {
	for _, op := range operations {
		for _, metric := range []string{"traces_span_metrics_calls_total", "traces_span_metrics_duration_seconds_bucket"} {
			eventually(t, 30*time.Second, op.span, func() error {
				return s.prometheus.hasData(fmt.Sprintf(`%s{service_name="traceroom",span_name=%q,span_kind="SPAN_KIND_%s"}`, metric, op.span, strings.ToUpper(op.kind)))
			})
		}
	}
	// From 50 µs on.
	require.NoError(t, s.prometheus.hasData(`traces_span_metrics_duration_seconds_bucket{service_name="traceroom",le="5e-05"}`))

	for kind, name := range map[string]string{
		"server": "GET /rooms", "consumer": "receive room/{room}", "client": "append", "producer": "broadcast room/{room}",
		"internal": "deliver room/{room}",
	} {
		for _, metric := range []string{"latencies", "calls"} {
			eventually(t, 30*time.Second, "the Monitor tab: "+metric+" of "+kind+" spans", func() error {
				query := url.Values{
					"service": {"traceroom"}, "spanKind": {kind}, "groupByOperation": {"true"}, "quantile": {"0.95"},
					"endTs": {strconv.FormatInt(time.Now().UnixMilli(), 10)}, "lookback": {"300000"}, "step": {"5000"}, "ratePer": {"60000"},
				}
				points, err := s.jaeger.monitored(metric, query)
				if err == nil && points[name] == 0 {
					err = fmt.Errorf("none of %q among %v", name, points)
				}
				return err
			})
		}
	}
}

func (s *stack) exemplars(t *testing.T) {
	// As the chat says it to whoever asks for OpenMetrics.
	req, err := http.NewRequest(http.MethodGet, s.chat+"/metrics", nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	require.NoError(t, err)
	for _, metric := range []string{"traceroom_delivery_latency_seconds_bucket", "traceroom_operation_duration_seconds_bucket", "http_server_request_duration_seconds_bucket"} {
		found := regexp.MustCompile(metric+`\{.*# \{.*trace_id="([0-9a-f]{32})"`).FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, found, metric)
		for _, f := range found {
			s.hasTrace(t, f[1], metric)
		}
	}
	// As Prometheus keeps it for the dots of Grafana's panels: the chat's, and Jaeger's own.
	asked := 0
	for _, p := range dashboards(t)["traceroom.json"].Panels {
		for _, q := range p.Targets {
			if !q.Exemplar {
				continue
			}
			asked++
			ids, err := s.prometheus.exemplars(shown(q.Expr))
			require.NoError(t, err)
			require.NotEmpty(t, ids, p.Title)
			slices.Sort(ids)
			for _, id := range slices.Compact(ids)[:min(len(slices.Compact(ids)), 20)] {
				s.hasTrace(t, id, p.Title)
			}
		}
	}
	require.Positive(t, asked)
}

func (s *stack) hasTrace(t *testing.T, id, where string) {
	eventually(t, 10*time.Second, where, func() error {
		_, err := s.jaeger.trace(id)
		return err
	})
}

// references follows what spans refer to: parents and links.
func (s *stack) references(t *testing.T) {
	requireNoWarnings(t, s.jaeger, "receive room/{room}", 100)
}

func (s *stack) losses(t *testing.T) {
	for _, expr := range []string{
		`sum(traceroom_disconnects_total{reason="too_slow"})`, "sum(traceroom_store_errors_total)", "sum(traceroom_spans_dropped_total)",
		"sum(traceroom_trace_lines_lost_total)",
		`sum(otelcol_receiver_refused_spans_total{job="jaeger"})`,
	} {
		result, err := s.prometheus.query(expr)
		require.NoError(t, err)
		require.Len(t, result, 1, expr)
		require.Zero(t, result[0].number(), expr)
	}
}

func (s *stack) memory(t *testing.T) {
	for name, p := range s.programs {
		used, limit := p.memory(t), int64(s.project.Services[name].MemLimit)
		t.Logf("%s uses %d MiB of %d", name, used>>20, limit>>20)
		require.Less(t, used, limit, name)
	}
}

func (s *stack) end(t *testing.T) {
	require.NoError(t, s.programs["chat"].stop(time.Duration(*s.project.Services["chat"].StopGracePeriod)))
	eventually(t, 20*time.Second, "the last span is exported", func() error {
		found, err := s.jaeger.search(url.Values{"service": {"traceroom"}, "operation": {"drain"}, "limit": {"1"}, "lookback": {"1h"}})
		if err == nil && len(found) == 0 {
			err = errors.New("no drain")
		}
		return err
	})
	_, err := os.Stat(filepath.Join(s.dir, "chat", "data", "traceroom.db"))
	require.NoError(t, err, "the messages stay")
}
