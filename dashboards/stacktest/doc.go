// Package stacktest tests docker-compose.yml and the files in dashboards, with the real programs but without Docker: Prometheus,
// Jaeger and k6 are built from their modules (see tools), started as the compose file says, with the configurations that it
// mounts, and queried.
//
// It is a module of its own, and so is each tool, so that their dependencies are not in the server's go.mod. Nothing imports
// it; `make test-stack` runs it.
//
// Only local_test.go differs from a run under Docker: names and ports of the compose network become free ports of the loopback
// interface, and paths in containers become directories of the test. All else is used unchanged.
package stacktest
