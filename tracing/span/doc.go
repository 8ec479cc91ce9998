// Package span makes spans of declared operations, at a fraction of what the spans of OpenTelemetry's SDK cost. They are
// ordinary spans all the same: parents and children of the SDK's in a context, readable by any sdktrace.SpanProcessor.
//
// A program declares its Operations and Keys in a Table, starts spans with a Tracer, and writes an Observer for whatever
// is to be made of them: it is called when a span begins and when it has ended, and reads the span through exported methods.
// What all spans of one client's connection share is kept in a Connection, once.
//
// The package knows neither chat nor HTTP, and imports nothing of this module. What an Observer does, such as writing,
// counting, exporting and keeping, belongs into the Observer's own package.
package span
