// Command app is the Traceroom server: `go run ./app`. It reads the configuration, wires the other packages together, and
// runs their life cycle. What the server does is in the packages below; nothing imports this one.
package main
