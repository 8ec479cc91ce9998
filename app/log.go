package main

import (
	"context"
	"io"
	"strconv"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// programBuffers is how many lines of the program's own log may wait for standard error.
const programBuffers = 64

// newLog returns the program's own log: JSON lines on stderr for operators. A stderr that is stuck delays nothing. The caller
// must call the returned function last of all; it writes what is left and reports whether all was written in time.
func newLog(stderr io.Writer) (*zap.Logger, func(context.Context) bool) {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.TimeKey = "time"
	encoder := zapcore.NewJSONEncoder(config)
	w := newLogWriter(programBuffers, true, nil, &logSink{name: "stderr", out: stderr, mark: func(dst []byte, h hole) []byte {
		line, err := encoder.Clone().EncodeEntry(zapcore.Entry{Level: zapcore.WarnLevel, Time: h.to, Message: "lines of this log are lost"},
			[]zapcore.Field{zap.Int64("lines", h.lines), zap.Time("from", h.from)})
		if err != nil {
			return dst
		}
		defer line.Free()
		return append(dst, line.Bytes()...)
	}})
	return zap.New(zapcore.NewCore(encoder, w, zapcore.InfoLevel)), w.Stop
}

// traceLog writes the trace log: through buffers to the file and standard output.
type traceLog struct {
	*logWriter // nil if there is no trace log
	close      func(context.Context) error
}

// out returns what telemetry writes lines to, or nil if there is no trace log.
func (t *traceLog) out() zapcore.WriteSyncer {
	if t.logWriter == nil {
		return nil
	}
	return t.logWriter
}

// newTraceLog opens the trace log. Lines that cannot be written later are lost; they are counted, marked in the trace log and
// reported to log.
func (s *serve) newTraceLog(stdout io.Writer, log *zap.Logger) (*traceLog, error) {
	var sinks []*logSink
	closeFile := func() error { return nil }
	if s.TraceLog != "off" {
		file, err := openLogFile(s.TraceLog)
		if err != nil {
			return nil, &unusableError{"trace-log", "TRACE_LOG", s.TraceLog, "off, or the path of a writable file that no other process uses", err}
		}
		closeFile = file.Close
		sinks = append(sinks, &logSink{name: "file", out: file, mark: appendLost})
	}
	if s.TraceStdout {
		sinks = append(sinks, &logSink{name: "stdout", out: stdout, mark: appendLost})
	}
	if len(sinks) == 0 {
		return &traceLog{close: func(context.Context) error { return nil }}, nil
	}
	w := newLogWriter(logBuffers, false, func(s *logSink, lines int64, err error) {
		if lines > 0 {
			log.Error("the trace log cannot be written; lines are lost", zap.String("sink", s.name), zap.Error(err))
		} else {
			log.Info("the trace log is written again", zap.String("sink", s.name), zap.Int64("lost_so_far", s.lost.Load()))
		}
	}, sinks...)
	return &traceLog{w, func(ctx context.Context) error {
		ended := w.Stop(ctx)
		for _, s := range sinks {
			if lost := s.lost.Load(); lost > 0 {
				log.Warn("lines of the trace log are lost", zap.String("sink", s.name), zap.Int64("lines", lost))
			}
		}
		if !ended {
			return nil // the file may still be in use
		}
		return closeFile()
	}}, nil
}

// appendLost appends the line of the trace log that says that lines are missing before it, and when they were written. It has the
// fields that all lines have.
func appendLost(dst []byte, h hole) []byte {
	dst = append(dst, `{"timestamp":`...)
	dst = strconv.AppendInt(dst, h.to.UnixMilli(), 10)
	dst = append(dst, `,"event":"LOST","thread":"main","module":"app","function":"log","lines":`...)
	dst = strconv.AppendInt(dst, h.lines, 10)
	dst = append(dst, `,"from":`...)
	dst = strconv.AppendInt(dst, h.from.UnixMilli(), 10)
	dst = append(dst, `,"to":`...)
	dst = strconv.AppendInt(dst, h.to.UnixMilli(), 10)
	return append(dst, "}\n"...)
}
