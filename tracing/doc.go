// Package tracing is all that observes: the OpenTelemetry set-up, the decorators of the rooms' interfaces, and the span
// processors that turn spans into the trace log and the operation metrics.
//
// A decorator only starts and ends a span; which spans there are is declared once, in operations.go. A span's start is
// the ENTER line, its end the EXIT line and the operation's histogram entry, so that the signals cannot disagree. What
// a span cannot carry, the counts and gauges, is written by the decorators and the rooms' hooks.
//
// Nothing here decides what the server does: with all of it taken away the rooms work the same. It speaks to no client;
// the few functions that read and write trace context (propagation.go) are all that transports may use of it.
package tracing
