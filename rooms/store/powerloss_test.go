//go:build !windows

package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/store/storetest"
)

// losses is how often the power fails in a test. If the variable that soakEnv names is set, the test goes on for that long instead, in
// the form of time.ParseDuration.
const (
	losses  = 25
	soakEnv = "SOAK"
)

func TestPowerLossSynchronousFull(t *testing.T)   { testPowerLoss(t, "full") }
func TestPowerLossSynchronousNormal(t *testing.T) { testPowerLoss(t, "normal") }

// deed is something that a store did: it began when the recording had before operations, and ended when it had after.
type deed struct {
	before, after int
	room          string
	ids           []string // appended; none: the room was deleted
	texts         []string
}

// testPowerLoss records what a store does to its file, and lets the power fail at random moments. What is left must open, and hold all
// transactions up to one of them and nothing of those after it. With synchronous=full that is the last that was acknowledged, or a
// later one; with synchronous=normal the last before the last checkpoint, or a later one.
func testPowerLoss(t *testing.T, synchronous string) {
	var soak time.Duration
	if s := os.Getenv(soakEnv); s != "" {
		var err error
		soak, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	seed := uint64(time.Now().UnixNano())
	for begin := time.Now(); ; seed++ {
		random := rand.New(rand.NewPCG(seed, 1))
		r, deeds, opened := recordDeeds(t, random, synchronous)
		for range losses {
			n := opened + random.IntN(r.len()-opened+1)
			dir := t.TempDir()
			require.NoError(t, r.crash(random, n, dir))
			// What was done before operation certain must be there.
			certain := n
			if synchronous == "normal" {
				certain = r.synced("chat.db-wal", n)
			}
			requirePrefix(t, filepath.Join(dir, "chat.db"), deeds, n, certain, fmt.Sprintf("seed %d, after %d operations", seed, n))
			require.NoError(t, os.RemoveAll(dir))
		}
		if time.Since(begin) >= soak {
			return
		}
	}
}

// recordDeeds has a store work on a file. opened is how many operations opening it took.
func recordDeeds(t *testing.T, random *rand.Rand, synchronous string) (r *recording, deeds []deed, opened int) {
	dir := t.TempDir()
	r = record(dir)
	s, err := Open(t.Context(), "sqlite://"+filepath.Join(dir, "chat.db")+"?synchronous="+synchronous,
		Options{vfs: recorderVFS, Failed: func(err error) { t.Errorf("in the background: %v", err) }})
	require.NoError(t, err)
	sqlite := s.(*sqliteStore)
	sqlite.checkpointer.stop() // the test runs it itself
	sqlite.checkpointer = nil
	create := func(id string) {
		_, _, err := s.CreateRoom(t.Context(), rooms.Room{ID: id, Name: id})
		require.NoError(t, err)
	}
	names := []string{"a", "b", "c"}
	for _, id := range names {
		create(id)
	}
	// Everything that was done to open the file and to create the rooms is on the disk.
	_, err = sqlite.checkpoint(t.Context())
	require.NoError(t, err)
	opened = r.len()
	for range 120 {
		id := names[random.IntN(len(names))]
		d := deed{before: r.len(), room: id}
		switch random.IntN(12) {
		case 0, 1:
			_, err := sqlite.checkpoint(t.Context())
			require.NoError(t, err)
			continue
		case 2:
			_, err := s.DeleteRoom(t.Context(), id)
			require.NoError(t, err)
			d.after = r.len()
			deeds = append(deeds, d)
			create(id)
			continue
		}
		many := 1 + random.IntN(4)
		if random.IntN(8) == 0 {
			many = maxRows + random.IntN(2*maxRows) // more than one statement
		}
		for i := range many {
			d.texts = append(d.texts, fmt.Sprintf("%d.%d %s", len(deeds), i, strings.Repeat("x", random.IntN(2000))))
		}
		for _, m := range storetest.Append(t, s, id, d.texts...) {
			d.ids = append(d.ids, m.ID)
		}
		d.after = r.len()
		deeds = append(deeds, d)
	}
	require.NoError(t, s.Close())
	return r, deeds, opened
}

// requirePrefix checks that the database holds what was done up to some deed that had begun before operation n, and that no deed is
// missing that had ended before operation certain.
func requirePrefix(t *testing.T, path string, deeds []deed, n, certain int, what string) {
	t.Helper()
	s, err := Open(t.Context(), "sqlite://"+path, Options{Failed: func(err error) { t.Errorf("%s: in the background: %v", what, err) }})
	require.NoError(t, err, what)
	defer func() { require.NoError(t, s.Close(), what) }()
	var sound string
	require.NoError(t, s.(*sqliteStore).w.QueryRow("PRAGMA integrity_check").Scan(&sound))
	require.Equal(t, "ok", sound, what)

	got := make(map[string]string) // by room, the ids and texts
	list, err := s.Rooms(t.Context())
	require.NoError(t, err)
	for _, room := range list {
		var content strings.Builder
		for i, m := range storetest.All(t, s, room.ID) {
			require.EqualValues(t, i+1, m.Seq, what)
			fmt.Fprintln(&content, m.ID, m.Text)
		}
		got[room.ID] = content.String()
	}
	// Compare the database with what there should be after each deed.
	least := 0
	for i, d := range deeds {
		if d.after <= certain {
			least = i + 1
		}
	}
	want := map[string]*strings.Builder{"a": {}, "b": {}, "c": {}}
	for i := 0; ; i++ {
		if i >= least && alike(want, got) {
			break
		}
		require.Less(t, i, len(deeds), "%s: what is there is not what any deed from %d on left", what, least)
		d := deeds[i]
		require.LessOrEqual(t, d.before, n, "%s: what is there is not what any deed from %d on left", what, least)
		if d.ids == nil {
			want[d.room] = &strings.Builder{}
		}
		for k, id := range d.ids {
			fmt.Fprintln(want[d.room], id, d.texts[k])
		}
	}
	// The store continues where it was.
	for _, room := range list {
		m := storetest.Append(t, s, room.ID, "more")[0]
		require.Equal(t, room.LastSeq+1, m.Seq, what)
	}
}

// alike reports whether rooms hold the same. A room that is missing has just been deleted.
func alike(want map[string]*strings.Builder, got map[string]string) bool {
	for id, content := range want {
		if content.String() != got[id] {
			return false
		}
	}
	return true
}
