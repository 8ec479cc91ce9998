package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// heapFloor is the heap size in bytes below which the garbage collector does not start. A small server keeps a few megabytes
// alive; without a floor the collector would run many times a second.
const heapFloor = 64 << 20

// Memory is returned to the system when there is enough of it, and when the server is idle, so that nobody waits for it.
const (
	restInterval = 3 * time.Second
	restAllocs   = 4 << 20 // the server is idle if it allocated at most this many bytes within the interval
	restWorth    = 8 << 20 // the fewest bytes worth returning
)

// manageMemory makes the garbage collector work less while the server is small or busy, and more while it is idle: it raises
// the heap size at which collections start to heapFloor, and returns memory to the system when the server was idle for
// restInterval. It does nothing if GOGC or GOMEMLIMIT is set, because then the operator decides. The caller must call end.
func manageMemory() (end func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	// The ballast makes the heap look large. It is never touched and so takes no memory.
	ballast := make([]byte, heapFloor/2)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { giveBack(ctx, uint64(len(ballast))) })
	return func() {
		cancel()
		done.Wait()
		runtime.KeepAlive(ballast)
	}
}

// giveBack collects garbage and returns memory to the system whenever enough can be returned and the server is idle. The
// runtime itself keeps what a burst of work needed: after ten thousand clients have connected, as much again as they need.
func giveBack(ctx context.Context, ballast uint64) {
	tick := time.NewTicker(restInterval)
	defer tick.Stop()
	const allocs, objects, unused, free = 0, 1, 2, 3
	samples := []metrics.Sample{
		allocs:  {Name: "/gc/heap/allocs:bytes"},
		objects: {Name: "/memory/classes/heap/objects:bytes"},
		unused:  {Name: "/memory/classes/heap/unused:bytes"},
		free:    {Name: "/memory/classes/heap/free:bytes"},
	}
	// held returns how much of the system's memory the heap has, without the ballast.
	held := func() uint64 {
		return samples[objects].Value.Uint64() + samples[unused].Value.Uint64() + samples[free].Value.Uint64() - ballast
	}
	var allocated, kept uint64 // allocated at the last tick; held after memory was last returned
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(samples)
		busy := samples[allocs].Value.Uint64() - allocated
		allocated += busy
		if busy > restAllocs || held() < kept+restWorth {
			continue
		}
		debug.FreeOSMemory()
		metrics.Read(samples)
		kept = held()
	}
}
