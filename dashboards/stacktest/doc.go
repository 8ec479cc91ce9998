// Package stacktest proves what docker-compose.yml and this folder promise, with the programs themselves and without
// Docker: Prometheus, Jaeger and k6 are built from their modules (see tools), started as the compose file says, with the
// configurations that it mounts, and asked.
//
// It is a module of its own, and so is each tool, so that nothing of them is seen by the server's go.mod. Nothing
// imports it; `make test-stack` runs it.
//
// What differs from a run under Docker is in one place, local_test.go: names and ports of the compose network become
// free ports of the loopback, and paths of containers become directories of the test. All else is the files as they are.
package stacktest
