// Package pgtest runs a real PostgreSQL server for tests, in a temporary folder, on the loopback interface. It knows nothing of
// what is stored in it.
package pgtest
