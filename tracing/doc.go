// Package tracing is what this chat tells of itself: the table of its operations and attributes (table.go, operations.go), decorators
// of the rooms' interfaces and hooks that start and end spans, the metrics, and the set-up of it all (telemetry.go).
//
// A decorator only starts and ends a span. What becomes of spans is made by Observers, each in a package of its own: the trace log
// (tracelog), export (otlp), the newest traces in memory (live), and the histogram of operations' times in metrics.go. All
// read the same span, so that they cannot disagree. What a span cannot carry, counts and gauges, is written by the
// decorators and the hooks.
//
// Nothing here decides what the server does: without it, the rooms work the same. Of HTTP there is only what must be within
// a request: the spans of requests, and the handler of the metrics.
package tracing
