// Package tracelog is a span.Observer that writes a log of what a program does: a line of JSON when a span starts (ENTER), and
// another when it has ended (EXIT). It writes the spans of libraries as well, as an sdktrace.SpanProcessor.
//
// The package formats lines and writes them to a writer that it is given. It does not buffer, rotate or read logs, and imports
// nothing of this module but span.
package tracelog
