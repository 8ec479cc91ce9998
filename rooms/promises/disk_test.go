package promises

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/store/storetest"
)

// disk is a database in memory that nodes share, each through its own rooms.Store. It outlives the nodes.
type disk struct {
	mu          sync.Mutex
	rooms       map[string]*storedRoom
	generations int64
	places      map[string]place // of messages, by their ids
	byPlace     map[place]*rooms.Message
	users       []rooms.User
	refs        map[refKey]ref
	id          string        // distinguishes it from other disks
	ahead       time.Duration // of the clock
	// record gets the events of what is stored and deleted, in order; nil: none.
	record *record
}

// storedRoom is a room and its messages, at index number - 1; nil: the message is deleted.
type storedRoom struct {
	rooms.Room
	messages []*rooms.Message
}

// ref is what is remembered of a message that its client gave a name.
type (
	refKey struct {
		gen         int64
		client, ref string
	}
	ref struct {
		message *rooms.Message
		at      time.Time
	}
)

func newDisk(r *record) *disk {
	id := rooms.NewID()
	return &disk{
		rooms: make(map[string]*storedRoom), places: make(map[string]place), byPlace: make(map[place]*rooms.Message),
		refs: make(map[refKey]ref), id: id[len(id)-12:], record: r,
	}
}

func (d *disk) now() time.Time { return time.Now().Add(d.ahead) }

// sent returns the message that a client has sent to the room with this ref; nil: none is remembered.
func (d *disk) sent(r *storedRoom, client, name string) *rooms.Message {
	if r == nil || name == "" {
		return nil
	}
	if known, ok := d.refs[refKey{r.Generation, client, name}]; ok && d.now().Sub(known.at) < rooms.RefAge {
		return known.message
	}
	return nil
}

func (d *disk) note(e event) {
	if d.record != nil {
		d.record.add(e)
	}
}

// diskStore is the Store of one node on a disk.
type diskStore struct {
	*disk
	closed chan struct{}
}

var _ rooms.Store = (*diskStore)(nil)

func (d *disk) open() *diskStore { return &diskStore{d, make(chan struct{})} }

var errClosed = errors.New("the store is closed")

// begin locks the disk. The caller unlocks it, unless there is an error.
func (s *diskStore) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	select {
	case <-s.closed:
		s.mu.Unlock()
		return errClosed
	default:
		return nil
	}
}

func (s *diskStore) CreateRoom(ctx context.Context, room rooms.Room) (rooms.Room, bool, error) {
	if err := s.begin(ctx); err != nil {
		return rooms.Room{}, false, err
	}
	defer s.mu.Unlock()
	if old := s.rooms[room.ID]; old != nil {
		return old.Room, false, nil
	}
	s.generations++
	room.Generation, room.Epoch = s.generations, fmt.Sprintf("%s.%d", s.id, s.generations)
	s.rooms[room.ID] = &storedRoom{Room: room}
	return room, true, nil
}

func (s *diskStore) Room(ctx context.Context, id string) (rooms.Room, error) {
	if err := s.begin(ctx); err != nil {
		return rooms.Room{}, err
	}
	defer s.mu.Unlock()
	if r := s.rooms[id]; r != nil {
		return r.Room, nil
	}
	return rooms.Room{}, rooms.NotFound("room", "room_id", id)
}

func (s *diskStore) Rooms(ctx context.Context) ([]rooms.Room, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var list []rooms.Room
	for _, r := range s.rooms {
		list = append(list, r.Room)
	}
	slices.SortFunc(list, func(a, b rooms.Room) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

func (s *diskStore) DeleteRoom(ctx context.Context, id string) (int64, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	r := s.rooms[id]
	if r == nil {
		return 0, rooms.NotFound("room", "room_id", id)
	}
	delete(s.rooms, id)
	for _, m := range r.messages {
		if m != nil {
			delete(s.places, m.ID)
		}
	}
	s.note(event{Kind: removed, Room: id, Gen: r.Generation})
	return r.Generation, nil
}

func (s *diskStore) Heads(ctx context.Context, ids []string) (map[string]rooms.Head, int, error) {
	if err := s.begin(ctx); err != nil {
		return nil, 0, err
	}
	defer s.mu.Unlock()
	heads := make(map[string]rooms.Head)
	for _, id := range ids {
		if r := s.rooms[id]; r != nil {
			heads[id] = rooms.Head{Generation: r.Generation, LastSeq: r.LastSeq}
		}
	}
	return heads, len(s.rooms), nil
}

func (s *diskStore) Append(ctx context.Context, roomID string, drafts []rooms.Draft) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	r := s.rooms[roomID]
	if r == nil {
		return rooms.NotFound("room", "room_id", roomID)
	}
	for _, d := range drafts {
		if p := d.Message.ParentID; p != "" && uuid.Validate(p) != nil {
			return errors.New("the parent's id is none")
		}
	}
	for i, d := range drafts {
		if known := s.sent(r, d.Message.ClientID, d.Ref); known != nil {
			drafts[i].Repeated = true
			text := d.Message.Text
			*d.Message = *known
			if _, there := s.places[known.ID]; !there {
				d.Message.Text = text
			}
			continue
		}
		r.LastSeq++
		r.Messages++
		d.Message.ID, d.Message.Generation, d.Message.Seq = rooms.NewID(), r.Generation, r.LastSeq
		m := *d.Message
		r.messages = append(r.messages, &m)
		at := place{m.Generation, m.Seq}
		s.places[m.ID], s.byPlace[at] = at, &m
		if d.Ref != "" {
			s.refs[refKey{m.Generation, m.ClientID, d.Ref}] = ref{&m, s.now()}
		}
		s.note(event{Kind: stored, Room: roomID, Gen: m.Generation, Seq: m.Seq, Text: m.Text})
	}
	return nil
}

// after returns the messages above seq.
func (r *storedRoom) after(seq int64) (list []*rooms.Message) {
	if r == nil {
		return nil
	}
	for _, m := range r.messages[min(max(seq, 0), r.LastSeq):] {
		if m != nil {
			list = append(list, m)
		}
	}
	return list
}

func (s *diskStore) After(ctx context.Context, roomID string, seq int64, most rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	return s.Newest(ctx, roomID, seq, math.MaxInt, most)
}

func (s *diskStore) Newest(ctx context.Context, roomID string, seq int64, limit int, most rooms.ReadLimit) (list []*rooms.Message, more bool, err error) {
	if err := s.begin(ctx); err != nil {
		return nil, false, err
	}
	defer s.mu.Unlock()
	if most.Messages <= 0 {
		return nil, false, nil
	}
	found := s.rooms[roomID].after(seq)
	found = found[len(found)-min(max(limit, 0), len(found)):]
	bytes := 0
	for _, m := range found {
		bytes += len(m.Text)
		if len(list) >= most.Messages || most.Bytes > 0 && bytes > most.Bytes && len(list) > 0 {
			return list, true, nil
		}
		list = append(list, m)
	}
	return list, false, nil
}

func (s *diskStore) Message(ctx context.Context, id string) (*rooms.Message, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if at, ok := s.places[id]; ok {
		return s.byPlace[at], nil
	}
	return nil, rooms.NotFound("message", "message_id", id)
}

func (s *diskStore) Sent(ctx context.Context, roomID, clientID, name string) (*rooms.Message, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if m := s.sent(s.rooms[roomID], clientID, name); m != nil {
		if _, there := s.places[m.ID]; there {
			return m, nil
		}
	}
	return nil, rooms.NotFound("message", "ref", name)
}

func (s *diskStore) DeleteMessage(ctx context.Context, id string) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	at, ok := s.places[id]
	if !ok {
		return rooms.NotFound("message", "message_id", id)
	}
	r := s.rooms[s.byPlace[at].RoomID]
	r.messages[at.seq-1] = nil
	r.Messages--
	delete(s.places, id)
	s.note(event{Kind: erased, Room: r.ID, Gen: at.gen, Seq: at.seq})
	return nil
}

func (s *diskStore) CreateUser(ctx context.Context, user rooms.User) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.users, func(u rooms.User) bool { return u.Handle == user.Handle }) {
		return &rooms.Error{Code: rooms.CodeConflict, Field: "handle", Detail: "the handle is taken"}
	}
	s.users = append(s.users, user)
	return nil
}

func (s *diskStore) User(ctx context.Context, id string) (rooms.User, error) {
	list, err := s.Users(ctx)
	if i := slices.IndexFunc(list, func(u rooms.User) bool { return u.ID == id }); i >= 0 {
		return list[i], nil
	}
	return rooms.User{}, cmp.Or(err, error(rooms.NotFound("user", "user_id", id)))
}

func (s *diskStore) DeleteUser(ctx context.Context, id string) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.users, func(u rooms.User) bool { return u.ID == id })
	if i < 0 {
		return rooms.NotFound("user", "id", id)
	}
	s.users = slices.Delete(s.users, i, i+1)
	return nil
}

func (s *diskStore) Users(ctx context.Context) ([]rooms.User, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	list := slices.Clone(s.users)
	slices.SortFunc(list, func(a, b rooms.User) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

func (s *diskStore) Ping(ctx context.Context) error {
	err := s.begin(ctx)
	if err == nil {
		s.mu.Unlock()
	}
	return err
}

func (s *diskStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.closed)
	return nil
}

// TestDisk checks that the store of these tests is a rooms.Store like others.
func TestDisk(t *testing.T) {
	storetest.Suite{
		New: func(*testing.T) func() rooms.Store {
			d := newDisk(nil)
			return func() rooms.Store { return d.open() }
		},
		Persistent: true, Shared: true,
		Later: func(_ *testing.T, s rooms.Store, d time.Duration) { s.(*diskStore).ahead += d },
		Spoil: func(m *rooms.Message) { m.IsReply, m.ParentID = true, "no such id" },
	}.Run(t)
}
