package tracing

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/tracing/span"
)

// sqlTracer makes spans of what is sent to PostgreSQL as a part of a trace: a query, or several that are sent together. A span says
// what is done to which tables (db.query.summary of OpenTelemetry's semantic conventions), and never with which values. What
// the store does on its own account is not traced.
//
// Each query is an operation that is made when it is first sent, and not in the table: the store has a few dozen queries.
type sqlTracer struct {
	tracer     *span.Tracer
	operations sync.Map // of *span.Operation by query
	batches    sync.Map // of *span.Operation by summary
}

var (
	_ pgx.QueryTracer = (*sqlTracer)(nil)
	_ pgx.BatchTracer = (*sqlTracer)(nil)
)

// SQL returns a tracer of what the store sends to PostgreSQL. Call it before Store.
func (t *Telemetry) SQL() pgx.QueryTracer {
	t.sql = true
	return &sqlTracer{tracer: t.tracer.WithScope(sqlScope)}
}

// TraceQueryStart implements pgx.QueryTracer.
func (s *sqlTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if !s.asked(ctx) {
		return ctx
	}
	return s.start(ctx, s.operation(data.SQL))
}

// TraceQueryEnd implements pgx.QueryTracer.
func (s *sqlTracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	s.end(ctx, data.Err)
}

// TraceBatchStart implements pgx.BatchTracer.
func (s *sqlTracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	if !s.asked(ctx) {
		return ctx
	}
	parts := make([]string, 0, 1+len(data.Batch.QueuedQueries))
	parts = append(parts, "BATCH")
	for _, q := range data.Batch.QueuedQueries {
		parts = append(parts, s.operation(q.SQL).Name)
	}
	summary := strings.Join(parts, " ")
	op, ok := s.batches.Load(summary)
	if !ok {
		op, _ = s.batches.LoadOrStore(summary, sqlOperation(summary))
	}
	return s.start(ctx, op.(*span.Operation), keyBatch.Int(len(data.Batch.QueuedQueries)))
}

// TraceBatchQuery implements pgx.BatchTracer. The batch is one round trip and one span.
func (s *sqlTracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (s *sqlTracer) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	s.end(ctx, data.Err)
}

// asked reports whether what is sent with ctx is traced: whether it is part of a trace.
func (s *sqlTracer) asked(ctx context.Context) bool {
	return !s.tracer.Off() && trace.SpanContextFromContext(ctx).IsValid()
}

// sqlKey is the key of the span that end ends. A context in which none was started has only that of what is around it.
type sqlKey struct{}

func (s *sqlTracer) start(ctx context.Context, op *span.Operation, attrs ...span.Attr) context.Context {
	ctx, sp := s.tracer.Start(ctx, op, attrs...)
	return context.WithValue(ctx, sqlKey{}, sp)
}

func (s *sqlTracer) end(ctx context.Context, err error) {
	sp, ok := ctx.Value(sqlKey{}).(*span.Span)
	if !ok {
		return
	}
	if err != nil {
		kind := "error"
		var answer interface{ SQLState() string }
		if errors.As(err, &answer) {
			kind = answer.SQLState()
			sp.Set(keySQLState.Of(kind))
		}
		sp.Set(keyErrorType.Of(kind))
		// PostgreSQL's message may quote a value; the code says what is wrong.
		sp.SetStatus(codes.Error, kind)
	}
	sp.Finish(nil)
}

// operation returns the operation of a query.
func (s *sqlTracer) operation(query string) *span.Operation {
	op, ok := s.operations.Load(query)
	if !ok {
		op, _ = s.operations.LoadOrStore(query, sqlOperation(summarize(query)))
	}
	return op.(*span.Operation)
}

func sqlOperation(summary string) *span.Operation {
	name, _, _ := strings.Cut(summary, " ")
	return &span.Operation{Name: summary, Kind: trace.SpanKindClient, Module: "sql", Function: summary, Attrs: []attribute.KeyValue{
		semconv.DBSystemNamePostgreSQL, semconv.DBOperationName(name), semconv.DBQuerySummary(summary),
	}}
}

// maxSummary is the length in bytes at which a summary ends, between two of its words.
const maxSummary = 255

// summarize returns what a query does to which tables, in the order of the query: "UPDATE rooms INSERT messages".
func summarize(query string) string {
	words := strings.FieldsFunc(query, func(r rune) bool { return strings.ContainsRune(" \t\n\r(),;", r) })
	own := make(map[string]bool) // names that the query gives to its parts
	var parts []string
	size := 0
	add := func(operation, table string) {
		part := operation
		if table != "" {
			part += " " + strings.ToLower(table)
		}
		if size += len(part) + 1; size <= maxSummary {
			parts = append(parts, part)
		}
	}
	for i, word := range words {
		next := func(n int) string {
			if i+n < len(words) {
				return words[i+n]
			}
			return ""
		}
		switch strings.ToUpper(word) {
		case "AS":
			if i > 0 {
				own[strings.ToLower(words[i-1])] = true
			}
		case "FROM", "JOIN":
			table := strings.ToLower(next(1))
			before := ""
			if i > 0 {
				before = strings.ToUpper(words[i-1])
			}
			if before != "DELETE" && !own[table] && table != "unnest" && isName(table) {
				add("SELECT", table)
			}
		case "INSERT":
			add("INSERT", next(2))
		case "DELETE":
			if strings.EqualFold(next(1), "FROM") {
				add("DELETE", next(2))
			}
		case "UPDATE":
			if table := next(1); i == 0 || isName(table) && !strings.EqualFold(words[i-1], "FOR") && !strings.EqualFold(words[i-1], "KEY") {
				add("UPDATE", table)
			}
		}
	}
	if len(parts) == 0 && len(words) > 0 {
		add(strings.ToUpper(words[0]), "")
	}
	return strings.Join(parts, " ")
}

// isName reports whether a word can be a table's name.
func isName(word string) bool {
	if word == "" {
		return false
	}
	switch strings.ToUpper(word) {
	case "SELECT", "SET", "WHERE", "ORDER", "LIMIT", "SKIP":
		return false
	}
	for _, c := range word {
		if c != '_' && c != '.' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
