package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.yaml.in/yaml/v3"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/web/ws"
)

// documents returns the project's documents by their paths from its root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(".."), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return fs.SkipDir
		case strings.HasSuffix(path, ".md"):
			texts[path] = read(t, path)
		}
		return nil
	}))
	require.Greater(t, len(texts), 5)
	return texts
}

// read returns the text of a file of the project.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", path))
	require.NoError(t, err)
	return string(text)
}

// table returns the rows of the first table in a document whose header begins with head. A row has its cells by the
// names of their columns, without backquotes around the whole of a cell.
func table(t *testing.T, path, head string) []map[string]string {
	t.Helper()
	cells := func(line string) []string {
		list := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i, cell := range list {
			list[i] = strings.TrimSpace(cell)
		}
		return list
	}
	_, text, ok := strings.Cut(read(t, path), "\n"+head)
	require.True(t, ok, "%s has no table that begins with %s", path, head)
	lines := strings.Split(head+text, "\n")
	names := cells(lines[0])
	var rows []map[string]string
	for _, line := range lines[2:] {
		if !strings.HasPrefix(line, "|") {
			break
		}
		list := cells(line)
		require.Len(t, list, len(names), line)
		row := map[string]string{}
		for i, name := range names {
			row[name] = list[i]
			if inside := strings.Trim(list[i], "`"); "`"+inside+"`" == list[i] {
				row[name] = inside
			}
		}
		rows = append(rows, row)
	}
	require.NotEmpty(t, rows)
	return rows
}

// column returns the cells of one column, without those that are empty.
func column(rows []map[string]string, name string) (cells []string) {
	for _, row := range rows {
		if row[name] != "" {
			cells = append(cells, row[name])
		}
	}
	return cells
}

// Each command's flags are in one table.
func TestDocumentsKnowEveryFlag(t *testing.T) {
	parser, err := kong.New(&commands{})
	require.NoError(t, err)
	tables := map[string][]map[string]string{
		"serve": table(t, "app/README.md", "| flag |"), "health": table(t, "app/README.md", "| flag of `health` |"),
		"inspect": table(t, "tracing/README.md", "| flag of `inspect` |"),
	}
	all := map[string]bool{"help": true}
	known, documented := map[string][]string{}, map[string][]string{}
	for _, leaf := range parser.Model.Leaves(false) {
		command, _, _ := strings.Cut(strings.TrimPrefix(leaf.FullPath(), parser.Model.Name+" "), " ")
		for _, f := range slices.Concat(leaf.AllFlags(false)...) {
			if f.Name == "help" || known[command+" --"+f.Name] != nil {
				continue
			}
			all[f.Name] = true
			if f.Tag.Negatable != "" {
				all["no-"+f.Name] = true
			}
			known[command+" --"+f.Name] = []string{strings.Join(f.Envs, ","), f.Default}
		}
	}
	for command, rows := range tables {
		for _, row := range rows {
			flag := row["flag"]
			if flag == "" {
				flag = row["flag of `"+command+"`"]
			}
			documented[command+" "+flag] = []string{row["variable"], row["default"]}
		}
	}
	require.Equal(t, known, documented)

	// Of docker compose, Prometheus and the stack's other programs.
	others := []string{"profile", "volumes", "rm", "enable-feature"}
	mentioned := regexp.MustCompile("[\\s`(]--([a-z][a-z-]+)")
	for path, text := range documents(t) {
		for _, m := range mentioned.FindAllStringSubmatch(text, -1) {
			require.True(t, all[m[1]] || slices.Contains(others, m[1]), "%s: there is no flag --%s", path, m[1])
		}
	}
}

func TestDocumentsKnowEveryCall(t *testing.T) {
	var api struct {
		Paths map[string]map[string]any
	}
	apptest.Shared(t).Get(t, "/openapi.json").JSON(t, &api)
	missing := map[string]bool{} // in the contract
	for path, methods := range api.Paths {
		for method := range methods {
			missing[strings.ToUpper(method)+" "+path] = true
		}
	}
	require.Greater(t, len(missing), 20)
	calls := maps.Clone(missing)
	mentioned := regexp.MustCompile("`((?:GET|HEAD|POST|PUT|PATCH|DELETE) /[^`? ]*)")
	for path, text := range documents(t) {
		for _, m := range mentioned.FindAllStringSubmatch(text, -1) {
			require.Contains(t, calls, m[1], path)
			if path == "web/README.md" {
				delete(missing, m[1])
			}
		}
	}
	require.Empty(t, missing, "not in web/README.md")
}

func TestDocumentsKnowEveryMetric(t *testing.T) {
	kinds := regexp.MustCompile(`(?m)^# TYPE (traceroom_\w+) (\w+)$`)
	series := regexp.MustCompile(`(?m)^(traceroom_\w+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$`)
	label := regexp.MustCompile(`(\w+)="[^"]*"`)
	answer := apptest.Start(t, apptest.Options{}).Get(t, "/metrics").Body
	labels := map[string]map[string]bool{}
	for _, m := range kinds.FindAllStringSubmatch(answer, -1) {
		labels[m[1]] = map[string]bool{}
	}
	require.Greater(t, len(labels), 15)
	for _, m := range series.FindAllStringSubmatch(answer, -1) {
		require.Contains(t, labels, m[1])
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			if l[1] != "le" {
				labels[m[1]][l[1]] = true
			}
		}
	}
	documented := map[string]map[string]bool{}
	for _, row := range table(t, "tracing/README.md", "| metric |") {
		list := map[string]bool{}
		for name := range strings.FieldsFuncSeq(row["labels"], func(r rune) bool { return strings.ContainsRune("`, ", r) }) {
			list[name] = true
		}
		documented[row["metric"]] = list
	}
	require.Equal(t, labels, documented)
	mentioned := regexp.MustCompile(`traceroom_[a-z_]*[a-z]`)
	for path, text := range documents(t) {
		for _, name := range mentioned.FindAllString(text, -1) {
			require.Contains(t, labels, name, path)
		}
	}
}

// The documented operations, attributes and fields are those of a program on which everything was done.
func TestDocumentsKnowEverythingThatIsTold(t *testing.T) {
	rows := table(t, "tracing/README.md", "| span |")
	kinds := map[string]tracepb.Span_SpanKind{}
	for _, row := range rows {
		kind, ok := tracepb.Span_SpanKind_value["SPAN_KIND_"+row["kind"]]
		require.True(t, ok, row)
		kinds[row["span"]] = tracepb.Span_SpanKind(kind)
	}
	known := map[string]tracepb.Span_SpanKind{}
	for name, shape := range shapes {
		known[name] = shape.kind
	}
	require.Equal(t, known, kinds)

	collector := apptest.NewCollector(t)
	p := apptest.Start(t, apptest.Options{Env: collector.Env()})
	ada := p.Join(t, "known", "ada")
	for range 2 {
		ada.Send(t, apptest.Message{Type: "message", Text: "hello", Ref: "1"})
		ada.UntilText(t, "hello")
	}
	ada.Leave(t)
	p.Resume(t, "known", "ada", 0)
	visit(t, p)

	functions, fields, names := map[string]bool{"relay.relay": true}, map[string]bool{}, map[string]bool{}
	log, err := os.ReadFile(filepath.Join(p.Dir, "traceroom.jsonl"))
	require.NoError(t, err)
	for line := range strings.Lines(string(log)) {
		var l map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		for field := range l {
			fields[field] = true
		}
		if l["module"] != "http" {
			functions[fmt.Sprint(l["module"], ".", l["function"])] = true
		}
		for _, list := range []string{"args", "result"} {
			if text, ok := l[list].(string); ok && !strings.HasPrefix(text, "error: ") {
				var values map[string]any
				require.NoError(t, json.Unmarshal([]byte(text), &values), line)
				for name := range values {
					names[name] = true
				}
			}
		}
	}
	documented := column(rows, "function")
	slices.Sort(documented)
	require.Equal(t, slices.Sorted(maps.Keys(functions)), slices.Compact(documented))
	documented = strings.FieldsFunc(strings.Join(column(table(t, "tracing/README.md", "| field |"), "field"), ","), func(r rune) bool { return strings.ContainsRune("`, ", r) })
	require.ElementsMatch(t, slices.Collect(maps.Keys(fields)), documented)

	attributes := map[string]bool{"traceroom.open": true} // of live traces alone
	for _, s := range collector.Spans() {
		for key := range s.Attrs {
			if strings.HasPrefix(key, "traceroom.") {
				attributes[key] = true
			}
		}
	}
	rows = table(t, "tracing/README.md", "| attribute |")
	require.ElementsMatch(t, slices.Collect(maps.Keys(attributes)), column(rows, "attribute"))
	for _, name := range column(rows, "in the log") {
		require.Contains(t, names, name)
	}
}

func TestDocumentsKnowEveryCode(t *testing.T) {
	var api struct {
		Channels struct {
			Room struct {
				Codes []struct {
					Code      string
					Reconnect bool
				} `yaml:"x-close-codes"`
			}
		}
		Components struct {
			Messages struct {
				Error struct {
					Payload struct {
						Properties struct {
							Code struct {
								OneOf []struct{ Const string } `yaml:"oneOf"`
							}
						}
					}
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(apptest.Shared(t).Get(t, "/asyncapi.yaml").Body), &api))
	codes, reconnect := map[string]bool{}, map[string]bool{}
	for _, code := range api.Components.Messages.Error.Payload.Properties.Code.OneOf {
		codes[code.Const] = true
	}
	for _, code := range api.Channels.Room.Codes {
		reconnect[code.Code] = code.Reconnect
	}
	documented := map[string]bool{}
	for _, code := range column(table(t, "web/README.md", "| code | meaning |\n"), "code") {
		documented[code] = true
	}
	require.Equal(t, codes, documented)
	documented = map[string]bool{}
	for _, row := range table(t, "web/README.md", "| code | meaning | reconnect? |") {
		documented[row["code"]] = strings.HasPrefix(row["reconnect?"], "yes")
	}
	require.Equal(t, reconnect, documented)
}

// The documented ranges of close codes say for every code what web/ws says.
func TestDocumentsKnowTheRangesOfCloseCodes(t *testing.T) {
	number := regexp.MustCompile(`(\d+)(?: to (\d+))?`)
	reconnect := map[int]bool{}
	others := false
	for _, row := range table(t, "web/README.md", "| codes | reconnect? |") {
		yes := strings.HasPrefix(row["reconnect?"], "yes")
		if row["codes"] == "all others" {
			others = yes
		}
		for _, m := range number.FindAllStringSubmatch(row["codes"], -1) {
			first, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			last := first
			if m[2] != "" {
				last, err = strconv.Atoi(m[2])
				require.NoError(t, err)
			}
			for code := first; code <= last; code++ {
				reconnect[code] = yes
			}
		}
	}
	for code := 1000; code < 5000; code++ {
		documented, ok := reconnect[code]
		if !ok {
			documented = others
		}
		require.Equal(t, ws.Status{Code: code}.Reconnect(), documented, "%d", code)
	}
}

func TestDocumentsKnowEveryAlert(t *testing.T) {
	alert := regexp.MustCompile(`(?m)^\s*- alert: (\w+)$`)
	alerts := map[string]bool{}
	for _, m := range alert.FindAllStringSubmatch(read(t, "dashboards/prometheus/rules/traceroom.yml"), -1) {
		alerts[m[1]] = true
	}
	documented := map[string]bool{}
	for _, name := range column(table(t, "dashboards/README.md", "| alert |"), "alert") {
		documented[name] = true
	}
	require.Equal(t, alerts, documented)
}

func TestLinksInDocumentsLeadSomewhere(t *testing.T) {
	texts := documents(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped := regexp.MustCompile(`[^\pL\pN _-]`)
	anchors := func(text string) (list []string) {
		for _, m := range heading.FindAllStringSubmatch(text, -1) {
			list = append(list, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
		}
		return list
	}
	for path, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), target)
				_, err := os.Stat(filepath.Join("..", file))
				require.NoError(t, err, "%s: %s", path, m[1])
			}
			if anchor != "" {
				require.Contains(t, anchors(texts[file]), anchor, "%s: %s", path, m[1])
			}
		}
	}
}

func TestFilesToLookIntoExist(t *testing.T) {
	name := regexp.MustCompile("[`(]([a-z_/]+(?:\\.go|/))[`)]")
	for _, dir := range []string{"web", "tracing"} {
		for _, where := range column(table(t, dir+"/README.md", "| what | where |"), "where") {
			for _, m := range name.FindAllStringSubmatch("`"+where+"`", -1) {
				_, err := os.Stat(filepath.Join("..", dir, m[1]))
				require.NoError(t, err, "%s/README.md", dir)
			}
		}
	}
}

func TestFoldersOfTheLayoutExist(t *testing.T) {
	_, layout, ok := strings.Cut(read(t, "README.md"), "## Layout\n\n```\n")
	require.True(t, ok)
	layout, _, _ = strings.Cut(layout, "```")
	inside := ""
	for line := range strings.Lines(layout) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(line, " ") {
			inside = ""
		}
		info, err := os.Stat(filepath.Join("..", inside, name))
		require.NoError(t, err)
		require.True(t, info.IsDir(), name)
		if inside == "" {
			inside = name
		}
	}
}
