// Package pgtest runs a real PostgreSQL for tests, in a folder of its own, on the loopback interface. It knows nothing of
// what is stored in it.
package pgtest
