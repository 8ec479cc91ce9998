// Command app is the Traceroom server: `go run ./app`. It reads the configuration, connects the other packages, and starts and
// stops them. What the server does is in those packages; nothing imports this one.
package main
