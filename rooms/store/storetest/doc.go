// Package storetest holds the tests that every implementation of rooms.Store passes. It knows no implementation.
package storetest
