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

// heapFloor is how large the heap may grow, in bytes, before the garbage collector begins to work for its size: with the
// few megabytes that a small server keeps alive it would otherwise run many times a second.
const heapFloor = 64 << 20

// When memory goes back to the system: it is worth it, and nobody is kept waiting.
const (
	restInterval = 3 * time.Second
	restAllocs   = 4 << 20 // bytes allocated within the interval, at the most
	restWorth    = 8 << 20 // bytes that may be had, at the least
)

// manageMemory has the garbage collector work less while the server is small or busy, and more while it rests: it raises
// the heap at which collections start to heapFloor, and gives memory back when little has been going on for restInterval.
// It does nothing if GOGC or GOMEMLIMIT say that the operator has decided otherwise. It must be ended.
func manageMemory() (end func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	// It makes the heap look large. As it is never touched, it takes no memory.
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

// giveBack collects garbage and returns memory to the system whenever that is worth it and the server is at rest. The
// runtime of its own accord keeps what a burst of work has needed: after ten thousand clients have connected, as much again
// as these need.
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
	// held is what the heap has of the system's memory, as far as it has been touched.
	held := func() uint64 {
		return samples[objects].Value.Uint64() + samples[unused].Value.Uint64() + samples[free].Value.Uint64() - ballast
	}
	var allocated, kept uint64 // what was allocated when last looked at; what was held after memory was last given back
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
