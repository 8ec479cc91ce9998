//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/traceroom/traceroom/app/bench/collector"
	"github.com/traceroom/traceroom/app/bench/floor"
	"github.com/traceroom/traceroom/app/bench/load"
)

// resultMark begins the line with the result of the clients' process.
const resultMark = "result: "

// role runs one of the processes for which this program starts itself. It reports false if args name none.
func role(ctx context.Context, args []string) (known bool, err error) {
	if len(args) == 0 {
		return false, nil
	}
	switch args[0] {
	case "floor":
		return true, serve(ctx, floor.New())
	case "collector":
		return true, serve(ctx, &collector.Server{})
	case "nats":
		return true, runNATS(ctx)
	case "load":
		if len(args) != 2 {
			return true, errors.New("load takes a plan as JSON")
		}
		return true, loads(ctx, args[1])
	case "watch":
		if len(args) != 2 {
			return true, errors.New("watch takes the address of a stream")
		}
		return true, watch(ctx, args[1], os.Stdout)
	}
	return false, nil
}

// serve serves h on a free port of the loopback interface until ctx is cancelled.
func serve(ctx context.Context, h http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	fmt.Println("listening on", l.Addr())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func loads(ctx context.Context, plan string) error {
	var p load.Plan
	if err := json.Unmarshal([]byte(plan), &p); err != nil {
		return err
	}
	// The clients make little garbage; collecting it less often disturbs the server less.
	debug.SetGCPercent(1000)
	res, err := load.Run(ctx, p)
	if err != nil {
		return err
	}
	fmt.Print(resultMark)
	return json.NewEncoder(os.Stdout).Encode(res)
}
