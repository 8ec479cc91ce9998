package store

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/store/storetest"
)

func TestSQLiteFile(t *testing.T) {
	var c clock
	storetest.Suite{New: newSQLite("", &c), Persistent: true, Spoil: spoil, Later: c.pass}.Run(t)
}

func TestSQLiteFull(t *testing.T) {
	var c clock
	storetest.Suite{New: newSQLite("?synchronous=full", &c), Persistent: true, Spoil: spoil, Later: c.pass}.Run(t)
}

func TestSQLiteMemory(t *testing.T) {
	var c clock
	storetest.Suite{New: func(t *testing.T) func() rooms.Store {
		return func() rooms.Store { return openWith(t, "sqlite://:memory:", Options{now: c.now}) }
	}, Spoil: spoil, Later: c.pass}.Run(t)
}

// clock is a clock that can be set.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) pass(_ *testing.T, _ rooms.Store, d time.Duration) { c.ahead.Add(int64(d)) }

func spoil(m *rooms.Message) { m.IsReply, m.ParentID = true, "no such id" }

func newSQLite(query string, c *clock) func(t *testing.T) func() rooms.Store {
	return func(t *testing.T) func() rooms.Store {
		path := filepath.Join(t.TempDir(), "chat room #1%.db")
		return func() rooms.Store { return openWith(t, "sqlite://"+path+query, Options{now: c.now}) }
	}
}

func open(t testing.TB, url string) rooms.Store {
	t.Helper()
	return openWith(t, url, Options{})
}

func openWith(t testing.TB, url string, opts Options) rooms.Store {
	t.Helper()
	opts.Failed = func(err error) { t.Errorf("in the background: %v", err) }
	s, err := Open(t.Context(), url, opts)
	require.NoError(t, err)
	return s
}

func TestUnusableURL(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(text, []byte(strings.Repeat("not a database\n", 100)), 0o600))
	for url, want := range map[string]string{
		"":                                   "want sqlite://PATH",
		"traceroom.db":                       "want sqlite://PATH",
		"mysql://x":                          `unknown scheme "mysql"`,
		"sqlite://":                          "the path is missing",
		"sqlite://x.db?synchronous=off":      `synchronous is "off": want normal or full`,
		"sqlite://x.db?cache=shared":         `unknown parameter "cache"`,
		"sqlite://x.db?%zz":                  "the part after ? is malformed",
		"sqlite://" + dir:                    "is a folder",
		"sqlite://" + dir + "/none/x.db":     "the folder cannot be used",
		"sqlite://" + text + "/x.db":         "is not a folder",
		"sqlite://" + text:                   "is not an SQLite database",
		"postgres://u:secret@127.0.0.1:no/x": "cannot parse",
		"postgres://u:secret@127.0.0.1/x?sslmode=perhaps": "sslmode is invalid",
		"sqlite:///proc/traceroom.db":                     "cannot be opened or created",
	} {
		s, err := Open(t.Context(), url, Options{})
		require.Nil(t, s, url)
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "\n", url)
		require.NotContains(t, err.Error(), "secret", url)
	}
}

// TestSQLiteManyRooms appends to more rooms in one transaction than the appender remembers.
func TestSQLiteManyRooms(t *testing.T) {
	s := open(t, "sqlite://"+filepath.Join(t.TempDir(), "rooms.db")).(*sqliteStore)
	defer func() { require.NoError(t, s.Close()) }()
	s.appender.mostRooms = 2
	var ids []string
	for i := range 5 {
		ids = append(ids, fmt.Sprint("room", i))
		_, _, err := s.CreateRoom(t.Context(), rooms.Room{ID: ids[i], Name: ids[i], CreatedAt: time.Now()})
		require.NoError(t, err)
	}
	for round := range int64(3) {
		calls := make([]*call, len(ids))
		for i, id := range ids {
			m := &rooms.Message{ClientID: "ada", Text: "hello", CreatedAt: time.Now(), UpdatedAt: time.Now()}
			calls[i] = &call{roomID: id, drafts: []rooms.Draft{{Ctx: t.Context(), Message: m}}}
		}
		s.commit(t.Context(), calls)
		for _, c := range calls {
			require.NoError(t, c.err)
			require.Equal(t, round+1, c.drafts[0].Message.Seq)
		}
	}
}

// TestSQLiteSweep checks that the messages of a deleted room are removed, also by a later process.
func TestSQLiteSweep(t *testing.T) {
	path := "sqlite://" + filepath.Join(t.TempDir(), "swept.db")
	s := open(t, path).(*sqliteStore)
	s.sweeper.stop() // as if the process had ended in between
	storetest.CreateRoom(t, s, "a")
	storetest.CreateRoom(t, s, "b")
	storetest.Append(t, s, "a", slices.Repeat([]string{"x"}, 3*sweepRows+1)...)
	storetest.Append(t, s, "b", "kept")
	_, err := s.DeleteRoom(t.Context(), "a")
	require.NoError(t, err)
	require.NoError(t, s.Close())

	s = open(t, path).(*sqliteStore)
	require.Eventually(t, func() bool {
		var messages, rooms int
		require.NoError(t, s.r.QueryRow(`SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM deleted_rooms)`).Scan(&messages, &rooms))
		return messages == 1 && rooms == 0
	}, waitFor, tick)
	require.NoError(t, s.Close())
}

// TestSQLiteNoSpace has no space in the database for a while: all appends fail, and none is stored in part.
func TestSQLiteNoSpace(t *testing.T) {
	s := open(t, "sqlite://"+filepath.Join(t.TempDir(), "full.db")).(*sqliteStore)
	storetest.CreateRoom(t, s, "a")
	storetest.CreateRoom(t, s, "b")
	storetest.Append(t, s, "a", "1")
	pages := func(n int) {
		_, err := s.w.Exec(fmt.Sprint("PRAGMA max_page_count = ", n))
		require.NoError(t, err)
	}
	for _, count := range []int{1, maxRows, maxRows + 1} { // one statement, and more
		pages(1)
		var calls []*call
		for _, id := range []string{"a", "b"} {
			c := &call{roomID: id}
			for range count {
				c.drafts = append(c.drafts, rooms.Draft{Message: storetest.NewMessage(id, strings.Repeat("x", rooms.MaxTextLength))})
			}
			calls = append(calls, c)
		}
		s.commit(t.Context(), calls)
		require.ErrorContains(t, calls[0].err, "full")
		require.ErrorContains(t, calls[1].err, "full")
		require.Empty(t, storetest.All(t, s, "b"))

		pages(1 << 20)
		last := storetest.All(t, s, "a")
		require.EqualValues(t, len(last)+1, storetest.Append(t, s, "a", "x")[0].Seq)
	}
	require.NoError(t, s.Close())
}

// TestSQLiteForgets makes what the store remembers of a room wrong: an append fails, the next one does not.
func TestSQLiteForgets(t *testing.T) {
	s := open(t, "sqlite://:memory:").(*sqliteStore)
	storetest.CreateRoom(t, s, "a")
	storetest.Append(t, s, "a", "1", "2")
	s.appender.rooms["a"].last--
	require.Error(t, s.Append(t.Context(), "a", []rooms.Draft{{Message: storetest.NewMessage("a", "x")}}))
	require.EqualValues(t, 3, storetest.Append(t, s, "a", "3")[0].Seq)
	require.NoError(t, s.Close())
}

// crashEnv names the variable with the database for a child process that writes to it until it is killed.
const crashEnv = "STORE_TEST_WRITE_TO"

const crashRooms = 8

// writeUntilKilled appends to several rooms at once and prints what was acknowledged: "room seq id" in each line.
func writeUntilKilled(path string) {
	ctx := context.Background()
	s, err := Open(ctx, "sqlite://"+path, Options{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for r := range crashRooms {
		go func() {
			id := fmt.Sprint("room", r)
			if _, _, err := s.CreateRoom(ctx, rooms.Room{ID: id}); err != nil {
				panic(err)
			}
			for {
				var drafts []rooms.Draft
				for range r + 1 {
					drafts = append(drafts, rooms.Draft{Ctx: ctx, Message: storetest.NewMessage(id, strings.Repeat("x", 300))})
				}
				if err := s.Append(ctx, id, drafts); err != nil {
					panic(err)
				}
				var line strings.Builder
				for _, d := range drafts {
					fmt.Fprintln(&line, id, d.Message.Seq, d.Message.ID)
				}
				os.Stdout.WriteString(line.String())
			}
		}()
	}
	select {}
}

// TestSQLiteKilled kills a writing process again and again: what was acknowledged must be stored, without gaps.
func TestSQLiteKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "killed.db")
	acknowledged := make(map[string]map[int64]string)
	epochs := make(map[string]string)
	for round := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == 500*(round+1) {
				require.NoError(t, cmd.Process.Kill())
			}
			var room, id string
			var seq int64
			if _, err := fmt.Sscan(lines.Text(), &room, &seq, &id); err != nil || len(id) != 36 {
				require.GreaterOrEqual(t, n, 500, lines.Text()) // the kill has cut the line
				continue
			}
			if acknowledged[room] == nil {
				acknowledged[room] = make(map[int64]string)
			}
			require.NotContains(t, acknowledged[room], seq, "%s: given twice", room)
			acknowledged[room][seq] = id
		}
		require.Error(t, cmd.Wait())

		s := open(t, "sqlite://"+path)
		for r := range crashRooms {
			id := fmt.Sprint("room", r)
			all := storetest.All(t, s, id)
			require.GreaterOrEqual(t, len(all), len(acknowledged[id]))
			for i, m := range all {
				require.EqualValues(t, i+1, m.Seq)
				if told, ok := acknowledged[id][m.Seq]; ok {
					require.Equal(t, told, m.ID)
				} else {
					acknowledged[id][m.Seq] = m.ID
				}
			}
			require.Len(t, acknowledged[id], len(all), "%s: acknowledged but not stored", id)
			room, err := s.Room(t.Context(), id)
			require.NoError(t, err)
			if round > 0 {
				require.Equal(t, epochs[id], room.Epoch, "a kill takes nothing")
			}
			epochs[id] = room.Epoch
		}
		require.NoError(t, s.Close())
	}
}

// TestSQLiteSecondProcess opens a file that another process has open.
func TestSQLiteSecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "held.db")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+path)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() })
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	_, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, out)
	}()

	begin := time.Now()
	_, err = Open(t.Context(), "sqlite://"+path, Options{})
	require.EqualError(t, err, path+" is in use by another process")
	require.Less(t, time.Since(begin), 2*time.Second)

	require.NoError(t, cmd.Process.Kill())
	<-drained
	_ = cmd.Wait()
	require.NoError(t, open(t, "sqlite://"+path).Close())
}

// A store whose file was deleted still writes to it, but nobody will find it again: Ping reports that.
func TestPingNoticesThatTheFileIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	s := open(t, "sqlite://"+path)
	defer func() { _ = s.Close() }() // it may fail after what has been done to the file
	require.NoError(t, s.Ping(t.Context()))
	require.NoError(t, os.Rename(path, path+".away"))
	require.ErrorContains(t, s.Ping(t.Context()), path+" has been deleted or moved")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.ErrorContains(t, s.Ping(t.Context()), path+" has been replaced")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Rename(path+".away", path))
	require.NoError(t, s.Ping(t.Context()), "it is back")
}
