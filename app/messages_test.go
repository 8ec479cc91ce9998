package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
)

// posted is a message as in the message API and new_message.
type posted struct {
	ID       string    `json:"id"`
	Text     string    `json:"message_text"`
	UserID   string    `json:"user_id"`
	Chatroom string    `json:"chatroom_id"`
	IsReply  bool      `json:"is_reply"`
	ParentID *string   `json:"parent_message_id"`
	Created  time.Time `json:"created_date"`
	Updated  time.Time `json:"last_updated_date"`

	Raw string `json:"-"` // as received
}

// created sends a POST, which must be answered with 201, and decodes the answer.
func created(t *testing.T, p *apptest.Program, path string, body, v any) *apptest.Response {
	t.Helper()
	res := p.PostJSON(t, path, body)
	require.Equal(t, http.StatusCreated, res.Status, res.Body)
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	res.JSON(t, v)
	return res
}

// register creates a user and returns its id.
func register(t *testing.T, p *apptest.Program, handle string) string {
	t.Helper()
	var user struct{ ID string }
	created(t, p, "/users/", obj{"name": strings.ToUpper(handle), "handle": handle}, &user)
	require.NotEmpty(t, user.ID)
	return user.ID
}

// chatroom creates a chatroom and returns its id.
func chatroom(t *testing.T, p *apptest.Program, name string) string {
	t.Helper()
	var room struct{ ID string }
	created(t, p, "/chatrooms/", obj{"name": name}, &room)
	require.NotEmpty(t, room.ID)
	return room.ID
}

// post posts a message.
func post(t *testing.T, p *apptest.Program, body obj) posted {
	t.Helper()
	var m posted
	m.Raw = created(t, p, "/messages/", body, &m).Body
	return m
}

func TestUsersAreRegisteredAndListed(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	require.JSONEq(t, `{"users":[],"total":0}`, p.Get(t, "/users").Body)
	res := p.PostJSON(t, "/users", obj{"name": "Ada <Lovelace> é", "handle": "ada.L_1-x"})
	require.Equal(t, http.StatusCreated, res.Status, res.Body)
	var ada struct {
		ID      string    `json:"id"`
		Name    string    `json:"name"`
		Handle  string    `json:"handle"`
		Created time.Time `json:"created_date"`
		Updated time.Time `json:"last_updated_date"`
	}
	res.JSON(t, &ada)
	require.Equal(t, "Ada <Lovelace> é", ada.Name)
	require.Equal(t, "ada.L_1-x", ada.Handle)
	requireNow(t, ada.Created, ada.Updated)
	require.Contains(t, res.Body, ada.Created.UTC().Format("2006-01-02T15:04:05"), "UTC")

	taken := requireProblem(t, http.StatusConflict, p.PostJSON(t, "/users/", obj{"name": "Another", "handle": "ada.L_1-x"}))
	require.Contains(t, taken.Detail, "ada.L_1-x")
	bob := register(t, p, "bob")
	for _, slash := range []string{"", "/"} {
		require.JSONEq(t, res.Body, p.Get(t, "/users/"+ada.ID+slash).Body)
		var list struct {
			Users []struct{ ID, Handle string }
			Total int
		}
		p.Get(t, "/users"+slash).JSON(t, &list)
		require.Equal(t, 2, list.Total)
		require.Len(t, list.Users, 2)
		require.ElementsMatch(t, []string{ada.ID, bob}, []string{list.Users[0].ID, list.Users[1].ID})
	}
	p.Stop(t)
	p.Restart(t)
	require.JSONEq(t, res.Body, p.Get(t, "/users/"+ada.ID).Body)
	requireProblem(t, http.StatusConflict, p.PostJSON(t, "/users/", obj{"name": "Another", "handle": "bob"}))
}

// requireNow checks that times are equal, in UTC, and about now.
func requireNow(t *testing.T, created, updated time.Time) {
	t.Helper()
	require.WithinDuration(t, time.Now(), created, 5*time.Minute)
	require.Equal(t, created, updated)
	_, offset := created.Zone()
	require.Zero(t, offset)
}

func TestAChatroomIsARoom(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	var list struct {
		Chatrooms []struct {
			ID, Name string
			Created  time.Time `json:"created_date"`
			Updated  time.Time `json:"last_updated_date"`
		}
		Total int
	}
	p.Get(t, "/chatrooms").JSON(t, &list)
	require.Equal(t, 3, list.Total, "general, go and random")

	id := chatroom(t, p, "Reading group")
	other := chatroom(t, p, "Reading group")
	require.NotEqual(t, id, other, "names need not differ")
	p.Get(t, "/chatrooms/").JSON(t, &list)
	require.Equal(t, 5, list.Total)
	require.Len(t, list.Chatrooms, 5)
	for _, r := range list.Chatrooms {
		requireNow(t, r.Created, r.Updated)
	}
	var one struct{ ID, Name string }
	p.Get(t, "/chatrooms/"+id+"/").JSON(t, &one)
	require.Equal(t, id, one.ID)
	require.Equal(t, "Reading group", one.Name)

	var r room
	p.Get(t, "/rooms/"+id).JSON(t, &r)
	requireRoom(t, room{RoomID: id, Name: "Reading group"}, 0, 0, r)
	p.Do(t, http.MethodPost, "/rooms?room_id=made-there&name=There", nil)
	p.Get(t, "/chatrooms/made-there").JSON(t, &one)
	require.Equal(t, "There", one.Name)
	require.Equal(t, http.StatusOK, p.Do(t, http.MethodDelete, "/rooms/"+id, nil).Status)
	requireProblem(t, http.StatusNotFound, p.Get(t, "/chatrooms/"+id))
}

// A deleted chatroom is a deleted room: its members are told. A deleted user's messages stay, and nothing more can be posted as
// that user.
func TestUsersAndChatroomsAreDeleted(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	ada, id, other := register(t, p, "ada"), chatroom(t, p, "Reading group"), chatroom(t, p, "Another")
	member := p.Join(t, id, "watcher")
	said := post(t, p, obj{"message_text": "hello", "user_id": ada, "chatroom_id": other})
	drop := func(path string) *apptest.Response { return p.Do(t, http.MethodDelete, path, nil) }

	res := drop("/chatrooms/" + id + "/")
	require.Equal(t, http.StatusOK, res.Status, res.Body)
	require.JSONEq(t, `{"deleted":true}`, res.Body)
	code, _ := member.Closed(t)
	require.Equal(t, 4001, code)
	requireProblem(t, http.StatusNotFound, p.Get(t, "/rooms/"+id))
	requireProblem(t, http.StatusNotFound, drop("/chatrooms/"+id))
	requireProblem(t, http.StatusNotFound, p.PostJSON(t, "/messages", obj{"message_text": "late", "user_id": ada, "chatroom_id": id}))

	res = drop("/users/" + ada)
	require.Equal(t, http.StatusOK, res.Status, res.Body)
	require.JSONEq(t, `{"deleted":true}`, res.Body)
	requireProblem(t, http.StatusNotFound, p.Get(t, "/users/"+ada))
	requireProblem(t, http.StatusNotFound, drop("/users/"+ada))
	problem := requireProblem(t, http.StatusNotFound, p.PostJSON(t, "/messages", obj{"message_text": "late", "user_id": ada, "chatroom_id": other}))
	require.Contains(t, problem.Detail, ada)
	require.JSONEq(t, said.Raw, p.Get(t, "/messages/"+said.ID).Body)
	require.NotEqual(t, ada, register(t, p, "ada"), "the handle is free again")
}

func TestMessagesArePostedReadAndDeleted(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	ada, bob, id := register(t, p, "ada"), register(t, p, "bob"), chatroom(t, p, "Reading group")
	member := p.Join(t, id, "watcher")

	first := post(t, p, obj{"message_text": "first", "user_id": ada, "chatroom_id": id})
	require.Nil(t, first.ParentID)
	require.JSONEq(t, fmt.Sprintf(
		`{"id":%q,"message_text":"first","user_id":%q,"chatroom_id":%q,"is_reply":false,"parent_message_id":null,"created_date":%q,"last_updated_date":%q}`,
		first.ID, ada, id, first.Created.Format(time.RFC3339Nano), first.Updated.Format(time.RFC3339Nano)), first.Raw)
	requireNow(t, first.Created, first.Updated)
	explicit := post(t, p, obj{"message_text": "second", "user_id": ada, "chatroom_id": id, "is_reply": false, "parent_message_id": nil})
	require.Nil(t, explicit.ParentID)
	reply := post(t, p, obj{"message_text": "reply", "user_id": bob, "chatroom_id": id, "is_reply": true, "parent_message_id": first.ID})
	require.True(t, reply.IsReply)
	require.Equal(t, &first.ID, reply.ParentID)
	fourth := post(t, p, obj{"message_text": "fourth", "user_id": bob, "chatroom_id": id})
	for i, m := range []posted{first, explicit, reply, fourth} {
		f := member.Next(t)
		require.Equal(t, "message", f.Type)
		require.Equal(t, m.ID, f.ID)
		require.Equal(t, m.UserID, f.ClientID)
		require.Equal(t, m.Text, f.Text)
		require.EqualValues(t, i+1, f.Seq)
		require.Equal(t, m.Created.UnixMilli(), f.Timestamp)
		for _, slash := range []string{"", "/"} {
			require.JSONEq(t, m.Raw, p.Get(t, "/messages/"+m.ID+slash).Body)
		}
	}
	said := func(query string) (list []string, total int) {
		var page struct {
			Messages []posted
			Total    int
		}
		p.Get(t, "/messages/chatroom/"+id+query).JSON(t, &page)
		for _, m := range page.Messages {
			list = append(list, m.Text)
		}
		return list, page.Total
	}
	requireSaid := func(query string, total int, want ...string) {
		t.Helper()
		list, n := said(query)
		require.Equal(t, want, list)
		require.Equal(t, total, n)
	}
	requireSaid("", 4, "first", "second", "reply", "fourth")
	requireSaid("/?limit=2", 4, "reply", "fourth")
	requireSaid("?since=1&limit=2", 4, "second", "reply")

	// The number of a deleted message is not used again.
	res := p.Do(t, http.MethodDelete, "/messages/"+explicit.ID+"/", nil)
	require.Equal(t, http.StatusOK, res.Status)
	require.JSONEq(t, `{"deleted":true}`, res.Body)
	requireProblem(t, http.StatusNotFound, p.Get(t, "/messages/"+explicit.ID))
	requireProblem(t, http.StatusNotFound, p.Do(t, http.MethodDelete, "/messages/"+explicit.ID, nil))
	requireSaid("", 3, "first", "reply", "fourth")
	fifth := post(t, p, obj{"message_text": "fifth", "user_id": ada, "chatroom_id": id})
	require.EqualValues(t, 5, member.Next(t).Seq)
	history := p.Join(t, id, "late").Next(t).Messages
	require.Equal(t, []string{"first", "reply", "fourth", "fifth"}, texts(history))
	require.EqualValues(t, 1, history[0].Seq)
	require.EqualValues(t, 3, history[1].Seq)
	resumed := p.Resume(t, id, "back", 1).Next(t).Messages
	require.Equal(t, []string{"reply", "fourth", "fifth"}, texts(resumed))

	// That holds for the newest message too, across a restart. A reply stays when the message that it answers is deleted.
	require.Equal(t, http.StatusOK, p.Do(t, http.MethodDelete, "/messages/"+fifth.ID, nil).Status)
	require.Equal(t, http.StatusOK, p.Do(t, http.MethodDelete, "/messages/"+first.ID, nil).Status)
	require.JSONEq(t, reply.Raw, p.Get(t, "/messages/"+reply.ID).Body)
	p.Stop(t)
	p.Restart(t)
	requireSaid("", 2, "reply", "fourth")
	member = p.Join(t, id, "watcher")
	require.Equal(t, "history", member.Next(t).Type)
	post(t, p, obj{"message_text": "sixth", "user_id": ada, "chatroom_id": id})
	require.EqualValues(t, 6, member.Next(t).Seq)
	requireProblem(t, http.StatusNotFound, p.PostJSON(t, "/messages",
		obj{"message_text": "x", "user_id": ada, "chatroom_id": id, "is_reply": true, "parent_message_id": first.ID}))
}

func TestAMistakeInAMessageCallNamesTheField(t *testing.T) {
	p := apptest.Shared(t)
	ada := register(t, p, "mistaken-ada")
	id, elsewhere := chatroom(t, p, "Mistakes"), chatroom(t, p, "Elsewhere")
	there := post(t, p, obj{"message_text": "there", "user_id": ada, "chatroom_id": elsewhere})
	member := p.Join(t, id, "watcher")
	with := func(field string, v any) obj {
		m := obj{"message_text": "hello", "user_id": ada, "chatroom_id": id}
		m[field] = v
		return m
	}
	without := func(field string) obj {
		m := with(field, nil)
		delete(m, field)
		return m
	}
	unknown := "017cdc9f-7d79-7c3a-8d15-e60f2b94cc33"
	for name, test := range map[string]struct {
		path   string
		body   any
		status int
		field  string
	}{
		"no name":              {"/users", obj{"handle": "x"}, 422, "name"},
		"no handle":            {"/users/", obj{"name": "x"}, 422, "handle"},
		"an empty name":        {"/users", obj{"name": "", "handle": "x"}, 422, "name"},
		"a blank name":         {"/users", obj{"name": " ", "handle": "x"}, 422, "name"},
		"a long name":          {"/users", obj{"name": strings.Repeat("é", 129), "handle": "x"}, 422, "name"},
		"a number as name":     {"/users", obj{"name": 1, "handle": "x"}, 422, "name"},
		"a handle with spaces": {"/users", obj{"name": "x", "handle": "a b"}, 422, "handle"},
		"a long handle":        {"/users", obj{"name": "x", "handle": strings.Repeat("x", 65)}, 422, "handle"},
		"a taken handle":       {"/users", obj{"name": "x", "handle": "mistaken-ada"}, 409, "handle"},
		"an unknown property":  {"/users", obj{"name": "x", "handle": "y", "colour": "red"}, 422, "colour"},
		"a nameless chatroom":  {"/chatrooms", obj{}, 422, "name"},
		"a blank chatroom":     {"/chatrooms/", obj{"name": "\t"}, 422, "name"},
		"no text":              {"/messages", without("message_text"), 422, "message_text"},
		"an empty text":        {"/messages/", with("message_text", ""), 422, "message_text"},
		"a blank text":         {"/messages/", with("message_text", " \n"), 422, "message_text"},
		"a long text":          {"/messages/", with("message_text", strings.Repeat("é", 4097)), 422, "message_text"},
		"a zero character":     {"/messages/", with("message_text", "a\x00b"), 422, "message_text"},
		"a number as text":     {"/messages/", with("message_text", 17), 422, "message_text"},
		"no user":              {"/messages/", without("user_id"), 422, "user_id"},
		"an empty user":        {"/messages/", with("user_id", ""), 422, "user_id"},
		"an unknown user":      {"/messages/", with("user_id", unknown), 404, "user_id"},
		"a user that is none":  {"/messages/", with("user_id", "a b"), 422, "user_id"},
		"no chatroom":          {"/messages/", without("chatroom_id"), 422, "chatroom_id"},
		"an unknown chatroom":  {"/messages/", with("chatroom_id", unknown), 404, "chatroom_id"},
		"no chatroom's id":     {"/messages/", with("chatroom_id", "a b"), 422, "chatroom_id"},
		"a word as is_reply":   {"/messages/", with("is_reply", "yes"), 422, "is_reply"},
		"an unknown parent":    {"/messages/", with("parent_message_id", unknown), 404, "parent_message_id"},
		"a parent elsewhere":   {"/messages/", with("parent_message_id", there.ID), 404, "parent_message_id"},
		"a number as parent":   {"/messages/", with("parent_message_id", 1), 422, "parent_message_id"},
	} {
		t.Run(name, func(t *testing.T) {
			res := p.PostJSON(t, test.path, test.body)
			problem := requireProblem(t, test.status, res)
			if test.status == http.StatusUnprocessableEntity {
				require.Contains(t, problem.Detail, test.field)
			}
			var fields struct {
				Errors []struct{ Field, Message string }
			}
			res.JSON(t, &fields)
			require.Len(t, fields.Errors, 1, res.Body)
			require.Equal(t, test.field, strings.TrimPrefix(fields.Errors[0].Field, "body."))
			require.NotEmpty(t, fields.Errors[0].Message)
		})
	}
	for call, status := range map[string]int{
		"GET /users/" + unknown:                          404,
		"GET /users/" + unknown + "/":                    404,
		"GET /users/a%20b":                               422,
		"GET /chatrooms/" + unknown:                      404,
		"GET /messages/" + unknown:                       404,
		"DELETE /messages/" + unknown:                    404,
		"GET /messages/chatroom/" + unknown:              404,
		"GET /messages/chatroom/" + id + "?limit=0":      422,
		"GET /messages/chatroom/" + id + "?since=x":      422,
		"GET /messages/chatroom/" + id + "/?limit=1001":  422,
		"PUT /messages/" + there.ID:                      405,
		"DELETE /users/" + unknown:                       404,
		"DELETE /users/a%20b":                            422,
		"DELETE /chatrooms/" + unknown:                   404,
		"PUT /users/" + ada:                              405,
		"PATCH /chatrooms/" + id:                         405,
		"GET /messages":                                  405,
		"POST /messages/chatroom/" + id + "/and/further": 404,
	} {
		t.Run(call, func(t *testing.T) {
			method, path, _ := strings.Cut(call, " ")
			requireProblem(t, status, p.Do(t, method, path, nil))
		})
	}
	for _, body := range []string{`{"message_text":`, `[]`, `"x"`, ``} {
		res := p.Do(t, http.MethodPost, "/messages", []byte(body), "Content-Type", "application/json")
		require.GreaterOrEqual(t, res.Status, 400)
		require.Less(t, res.Status, 500)
		requireProblem(t, res.Status, res)
	}
	last := post(t, p, with("message_text", "at last"))
	f := member.Next(t)
	require.Equal(t, last.ID, f.ID, "of all that, nothing was said")
	require.EqualValues(t, 1, f.Seq, "nor stored")
}
