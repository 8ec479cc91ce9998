// Package collector receives the traces in the benchmarks: an HTTP server that accepts OTLP as protobuf (opentelemetry-proto,
// collector/trace/v1) and counts the spans without decoding them, so that the tables can say how many of a server's spans
// arrived. It keeps only counters.
package collector
