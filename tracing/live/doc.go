// Package live is a span.Observer that keeps the newest traces in bounded memory for those who look: their spans by reference,
// open ones included. Keeping a span costs one short lock; summaries, filters and lists are made when somebody looks, by the
// goroutine of who looks. It keeps the spans of libraries as well, as an sdktrace.SpanProcessor.
//
// The package offers data: plain Go types with texts, times and durations. It speaks no HTTP and writes no JSON, and imports
// nothing of this module but span.
package live
