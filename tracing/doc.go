// Package tracing is all that observes: the OpenTelemetry set-up, the decorators of the rooms' interfaces, and the span
// processors that turn spans into the trace log, the operation metrics and the live traces.
//
// A decorator only starts and ends a span; which spans there are is declared once, in operations.go. A span's start is
// the ENTER line, its end the EXIT line and the operation's histogram entry, so that the signals cannot disagree. What
// a span cannot carry, the counts and gauges, is written by the decorators and the rooms' hooks.
//
// The live traces (live*.go) are the newest spans, by reference, in bounded memory. A span costs one short lock; summaries,
// filters, JSON and the lines of the trace log are made when somebody looks, by the goroutine of who looks.
//
// Nothing here decides what the server does: with all of it taken away the rooms work the same. Clients are spoken to by
// two http.Handlers only, for the metrics and the live traces, which web serves; the few functions that read and write
// trace context (propagation.go) are all else that transports may use of it.
package tracing
