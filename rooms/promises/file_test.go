package promises

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/store"
)

// file is an SQLite database in a file. A node that is killed leaves the file as it is at that moment. The next node gets a
// copy of it, as this process cannot open the file again.
type file struct {
	t      *testing.T
	record *record
	dir    string
	opened []rooms.Store // the newest last
}

func openFile(t *testing.T, r *record) database {
	dir, err := os.MkdirTemp("", "promises")
	if err != nil {
		t.Fatal(err)
	}
	return &file{t: t, record: r, dir: dir}
}

func (f *file) shared() bool { return false }

// path returns the path of the n-th copy of the database.
func (f *file) path(n int) string { return filepath.Join(f.dir, strconv.Itoa(n)+".db") }

func (f *file) node() rooms.Store {
	n := len(f.opened)
	if n > 0 {
		synctest.Wait() // until the dead node's store has stopped writing
		for _, suffix := range []string{"", "-wal"} {
			content, err := os.ReadFile(f.path(n-1) + suffix)
			if err == nil {
				err = os.WriteFile(f.path(n)+suffix, content, 0o600)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				f.t.Fatal(err)
			}
		}
	}
	s, err := store.Open(context.Background(), "sqlite://"+f.path(n), store.Options{Failed: func(err error) { f.t.Error(err) }})
	if err != nil {
		f.t.Fatal(err)
	}
	f.opened = append(f.opened, s)
	return &written{s, f.record}
}

func (f *file) messages(room string) []*rooms.Message {
	list, _, err := f.opened[len(f.opened)-1].After(context.Background(), room, 0, rooms.ReadLimit{Messages: 1 << 30})
	if err != nil {
		f.t.Fatal(err)
	}
	return list
}

func (f *file) close() {
	for _, s := range f.opened {
		if err := s.Close(); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := os.RemoveAll(f.dir); err != nil {
		f.t.Fatal(err)
	}
}

// written is a Store that records what it has stored and deleted before it returns to its caller.
type written struct {
	rooms.Store
	record *record
}

func (s *written) Append(ctx context.Context, id string, drafts []rooms.Draft) error {
	err := s.Store.Append(ctx, id, drafts)
	if err == nil {
		for _, d := range drafts {
			if d.Repeated {
				continue
			}
			s.record.add(event{Kind: stored, Room: id, Gen: d.Message.Generation, Seq: d.Message.Seq, Text: d.Message.Text})
		}
	}
	return err
}

func (s *written) DeleteRoom(ctx context.Context, id string) (int64, error) {
	gen, err := s.Store.DeleteRoom(ctx, id)
	if err == nil {
		s.record.add(event{Kind: removed, Room: id, Gen: gen})
	}
	return gen, err
}

// DeleteMessage records it first: others may find the message gone at once.
func (s *written) DeleteMessage(ctx context.Context, id string) error {
	if m, err := s.Message(ctx, id); err == nil {
		s.record.add(event{Kind: erased, Room: m.RoomID, Gen: m.Generation, Seq: m.Seq})
	}
	return s.Store.DeleteMessage(ctx, id)
}
