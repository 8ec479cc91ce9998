package stacktest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// prometheus is Prometheus's API, by its base address.
type prometheus string

type sample struct {
	Metric map[string]string
	Value  [2]any
}

func (s *sample) number() float64 {
	text, _ := s.Value[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

func (p prometheus) get(path string, query url.Values, into any) error {
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := ask(string(p)+path+"?"+query.Encode(), &answer); err != nil {
		return err
	}
	return json.Unmarshal(answer.Data, into)
}

func (p prometheus) query(expr string) ([]sample, error) {
	var data struct{ Result []sample }
	if err := p.get("/api/v1/query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	return data.Result, nil
}

// hasData says what is wrong if expr has no result that is a number.
func (p prometheus) hasData(expr string) error {
	result, err := p.query(expr)
	if err != nil {
		return err
	}
	for _, s := range result {
		if v := s.number(); !math.IsNaN(v) && !math.IsInf(v, 0) {
			return nil
		}
	}
	return fmt.Errorf("no data among %d results: %s", len(result), expr)
}

type rule struct {
	Name, Type, Query, Health, LastError, State string
}

func (p prometheus) rules() ([]rule, error) {
	var data struct{ Groups []struct{ Rules []rule } }
	if err := p.get("/api/v1/rules", nil, &data); err != nil {
		return nil, err
	}
	var all []rule
	for _, group := range data.Groups {
		all = append(all, group.Rules...)
	}
	return all, nil
}

// selectors returns the time series that expr reads, each as a query of its own.
func (p prometheus) selectors(expr string) ([]string, error) {
	var tree any
	if err := p.get("/api/v1/parse_query", url.Values{"query": {expr}}, &tree); err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	var found []string
	var walk func(any)
	walk = func(node any) {
		switch n := node.(type) {
		case map[string]any:
			if kind := n["type"]; kind == "vectorSelector" || kind == "matrixSelector" {
				var matchers []string
				for _, m := range n["matchers"].([]any) {
					m := m.(map[string]any)
					matchers = append(matchers, fmt.Sprintf("%s%s%q", m["name"], m["type"], m["value"]))
				}
				found = append(found, "{"+strings.Join(matchers, ",")+"}")
				return
			}
			for _, child := range n {
				walk(child)
			}
		case []any:
			for _, child := range n {
				walk(child)
			}
		}
	}
	walk(tree)
	return found, nil
}

// exemplars returns the trace ids of the exemplars of expr in the last minutes.
func (p prometheus) exemplars(expr string) ([]string, error) {
	var data []struct {
		Exemplars []struct{ Labels map[string]string }
	}
	now := time.Now()
	err := p.get("/api/v1/query_exemplars", url.Values{
		"query": {expr}, "start": {strconv.FormatInt(now.Add(-5*time.Minute).Unix(), 10)}, "end": {strconv.FormatInt(now.Unix()+1, 10)},
	}, &data)
	var ids []string
	for _, series := range data {
		for _, e := range series.Exemplars {
			if id := e.Labels["trace_id"]; id != "" {
				ids = append(ids, id)
			}
		}
	}
	return ids, err
}
