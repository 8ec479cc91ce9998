// Package inspect reads the trace log: call trees, statistics by function, what one connection did, whether the log is
// sound, and the log as the FlowTrace tools read it. Its Command is the program's `inspect` command.
//
// It knows the lines of the trace log and the files they stand in, and nothing else: no OpenTelemetry, no HTTP, no rooms.
// Names of operations come from the lines; the few that it must know something about stand in one table (see traits).
//
// Everything reads a log of any length in bounded memory. What is held while the rest is still to come (traces not yet
// at rest, spans whose children may follow) has limits, and what a limit cut short says so where it is shown.
package inspect
