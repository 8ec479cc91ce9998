// Package workers holds the goroutines that many connections share, so that an idle connection needs none but the one that
// reads from it: a Pool runs Tasks, which never wait, and rings Alarms at their time.
//
// Writing, pings and deadlines of both transports run on one Pool. The package does not know what its tasks do; nothing of
// networks, protocols or chat belongs here.
package workers
