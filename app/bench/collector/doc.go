// Package collector is the other end of OTLP in the benchmarks: an HTTP server that takes traces as protobuf
// (opentelemetry-proto, collector/trace/v1) and counts their spans without decoding them, so that the table can say how
// many of the spans that a server made have arrived. It keeps nothing but counters.
package collector
