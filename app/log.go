package main

import (
	"io"
	"os"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/natefinch/lumberjack.v2"
)

// newLog is the program's own log: JSON lines for what operators should know.
func newLog(w io.Writer) *zap.Logger {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.TimeKey = "time"
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(config), zapcore.Lock(zapcore.AddSync(w)), zapcore.InfoLevel))
}

// traceLog is the trace log's way out: buffers that make writers wait when they are full, and behind them the file and
// standard output.
type traceLog struct {
	zapcore.WriteSyncer // nil: there is none
	close               func() error
}

// newTraceLog opens the trace log. What cannot be written later is reported to log, once, and lost.
func (s *serve) newTraceLog(stdout io.Writer, log *zap.Logger) (*traceLog, error) {
	var outs []zapcore.WriteSyncer
	var file *lumberjack.Logger
	if s.TraceLog != "off" {
		f, err := os.OpenFile(s.TraceLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, &unusableError{"trace-log", "TRACE_LOG", s.TraceLog, "off, or the path of a file that can be written", err}
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		// In megabytes, and small: ext4 sends to the disk at once what is still in memory of a file that is rotated, and
		// whoever else writes, SQLite above all, waits for that.
		file = &lumberjack.Logger{Filename: s.TraceLog, MaxSize: 10, MaxBackups: 50}
		outs = append(outs, zapcore.AddSync(file))
	}
	if s.TraceStdout {
		// Without its Sync, which fails on a pipe or a terminal.
		outs = append(outs, zapcore.AddSync(struct{ io.Writer }{stdout}))
	}
	if len(outs) == 0 {
		return &traceLog{close: func() error { return nil }}, nil
	}
	w := newLogWriter(&reporting{WriteSyncer: zapcore.NewMultiWriteSyncer(outs...), log: log})
	return &traceLog{w, func() error {
		w.Stop()
		if file != nil {
			return file.Close()
		}
		return nil
	}}, nil
}

// reporting reports the first failure to write, and takes part in none: the server goes on without its trace log.
type reporting struct {
	zapcore.WriteSyncer
	log  *zap.Logger
	once sync.Once
}

// Write implements io.Writer.
func (r *reporting) Write(p []byte) (int, error) {
	if _, err := r.WriteSyncer.Write(p); err != nil {
		r.once.Do(func() { r.log.Error("the trace log cannot be written; lines are lost", zap.Error(err)) })
	}
	return len(p), nil
}
