package stacktest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// ask gets JSON.
func ask(address string, into any) error {
	resp, err := http.Get(address)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", address, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// jaeger is the API that Jaeger's pages use, by its base address.
type jaeger string

type span struct {
	TraceID, SpanID, OperationName string
	References                     []struct{ RefType, TraceID, SpanID string }
	Tags                           []struct {
		Key   string
		Value any
	}
	Warnings []string
}

func (s *span) tag(key string) any {
	for _, tag := range s.Tags {
		if tag.Key == key {
			return tag.Value
		}
	}
	return nil
}

// reference returns the span's reference of a kind, CHILD_OF or FOLLOWS_FROM.
func (s *span) reference(kind string) (trace, id string) {
	for _, ref := range s.References {
		if ref.RefType == kind {
			return ref.TraceID, ref.SpanID
		}
	}
	return "", ""
}

type trace struct {
	TraceID string
	Spans   []span
}

func (t *trace) find(name string) *span {
	for i := range t.Spans {
		if t.Spans[i].OperationName == name {
			return &t.Spans[i]
		}
	}
	return nil
}

func (j jaeger) services() ([]string, error) {
	var answer struct{ Data []string }
	err := ask(string(j)+"/api/services", &answer)
	return answer.Data, err
}

// operations returns the kinds of the spans of a service, by their names.
func (j jaeger) operations(service string) (map[string]string, error) {
	var answer struct {
		Operations []struct{ Name, SpanKind string }
	}
	if err := ask(string(j)+"/api/v3/operations?service="+url.QueryEscape(service), &answer); err != nil {
		return nil, err
	}
	kinds := make(map[string]string)
	for _, op := range answer.Operations {
		kinds[op.Name] = op.SpanKind
	}
	return kinds, nil
}

func (j jaeger) trace(id string) (*trace, error) {
	var answer struct{ Data []trace }
	if err := ask(string(j)+"/api/traces/"+id, &answer); err != nil {
		return nil, err
	}
	if len(answer.Data) != 1 {
		return nil, fmt.Errorf("%d traces have the id %s", len(answer.Data), id)
	}
	return &answer.Data[0], nil
}

func (j jaeger) search(query url.Values) ([]trace, error) {
	var answer struct{ Data []trace }
	err := ask(string(j)+"/api/traces?"+query.Encode(), &answer)
	return answer.Data, err
}

// monitored returns how many points the Monitor tab has of a metric (calls, errors, latencies) of spans of a kind, by
// the span's name.
func (j jaeger) monitored(metric string, query url.Values) (map[string]int, error) {
	var answer struct {
		Metrics []struct {
			Labels       []struct{ Name, Value string }
			MetricPoints []struct {
				GaugeValue struct{ DoubleValue any }
			}
		}
	}
	if err := ask(string(j)+"/api/metrics/"+metric+"?"+query.Encode(), &answer); err != nil {
		return nil, err
	}
	points := make(map[string]int)
	for _, m := range answer.Metrics {
		for _, label := range m.Labels {
			if label.Name != "operation" {
				continue
			}
			for _, p := range m.MetricPoints {
				if v, ok := p.GaugeValue.DoubleValue.(float64); ok && v > 0 {
					points[label.Value]++
				}
			}
		}
	}
	return points, nil
}
