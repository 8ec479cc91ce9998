//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/traceroom/traceroom/app/bench/load"
)

// history fills a database through a server, starts another server on it, and joins.
func (b *bench) history(ctx context.Context) error {
	const rooms, joins = 10, 500
	dir := filepath.Join(b.lab.dir, "history")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.say("history: storing %d messages", b.opt.messages)
	filler := own("off")
	filled, err := b.lab.measureIn(ctx, dir, filler, load.Plan{Do: "fanout", Rooms: rooms, Members: 1, Senders: 1, Inflight: 64,
		Ack: load.AckEcho, Messages: b.opt.messages, Measure: time.Hour})
	if err != nil {
		return err
	}
	b.note(filler, filled)
	db, err := os.Stat(filepath.Join(dir, "bench.db"))
	if err != nil {
		return err
	}
	b.say("history: joining")
	p := own("traceroom")
	out, err := b.lab.measureIn(ctx, dir, p, load.Plan{Do: "history", Rooms: rooms, Members: 1, Times: joins})
	if err != nil {
		return err
	}
	b.print("### A long history\n")
	b.print("%d messages in %d rooms, stored at %s a second; the database takes %s.\n", filled.Sent, rooms,
		figure(filled.messageRate()), mebibytes(db.Size()))
	t := table{head: []string{"", "measured", "at most", ""}}
	t.add("start, until it is ready", figure(out.Ready.Seconds())+" s", "2 s", verdict(out.Ready <= 2*time.Second))
	t.add(fmt.Sprintf("join with history (%d bytes), p50 of %d", out.Frame, out.JoinEach.N), milliseconds(out.JoinEach.P50), "", "")
	t.add("p99", milliseconds(out.JoinEach.P99), "10 ms", verdict(out.JoinEach.P99 <= 10*time.Millisecond))
	b.table(t)
	return nil
}
