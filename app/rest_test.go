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

type room struct {
	RoomID       string `json:"room_id"`
	Name         string `json:"name"`
	Participants *int   `json:"participant_count"`
	Messages     *int   `json:"message_count"`
	CreatedAt    int64  `json:"created_at"`
}

type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// requireProblem checks that res is a problem as in RFC 9457.
func requireProblem(t *testing.T, status int, res *apptest.Response) problem {
	t.Helper()
	require.Equal(t, status, res.Status, res.Body)
	require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"), res.Body)
	var p problem
	res.JSON(t, &p)
	require.NotEmpty(t, p.Type)
	require.Equal(t, http.StatusText(status), p.Title)
	require.Equal(t, status, p.Status)
	require.NotEmpty(t, p.Detail)
	return p
}

func requireRoom(t *testing.T, want room, participants, messages int, got room) {
	t.Helper()
	require.NotNil(t, got.Participants)
	require.NotNil(t, got.Messages)
	require.Equal(t, want.RoomID, got.RoomID)
	require.Equal(t, want.Name, got.Name)
	require.Equal(t, participants, *got.Participants)
	require.Equal(t, messages, *got.Messages)
	require.InDelta(t, time.Now().UnixMilli(), got.CreatedAt, 5*60*1000)
}

func TestHealthAndReadiness(t *testing.T) {
	p := apptest.Shared(t)
	for _, path := range []string{"/health", "/health/"} {
		res := p.Get(t, path)
		require.Equal(t, http.StatusOK, res.Status)
		var health struct {
			Status, Service string
			Timestamp       int64
		}
		res.JSON(t, &health)
		require.Equal(t, "healthy", health.Status)
		require.Equal(t, "traceroom", health.Service)
		require.InDelta(t, time.Now().UnixMilli(), health.Timestamp, 60_000)
		require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	}
	require.Equal(t, http.StatusOK, p.Get(t, "/readyz/").Status)
}

func TestRoomsAreCreatedListedAndDeleted(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	var list struct {
		Rooms []room
		Count int
	}
	ids := func() (found []string) {
		p.Get(t, "/rooms").JSON(t, &list)
		require.Len(t, list.Rooms, list.Count)
		for _, r := range list.Rooms {
			found = append(found, r.RoomID)
		}
		return found
	}
	require.ElementsMatch(t, []string{"general", "go", "random"}, ids())

	var r room
	res := p.Do(t, http.MethodPost, "/rooms?room_id=test&name=Test%20Room", nil)
	require.Equal(t, http.StatusCreated, res.Status, res.Body)
	res.JSON(t, &r)
	requireRoom(t, room{RoomID: "test", Name: "Test Room"}, 0, 0, r)

	say(t, p.Join(t, "test", "ada"), "one", "two")
	p.Join(t, "test", "ada")
	p.Join(t, "test", "bob")
	res = p.Do(t, http.MethodPost, "/rooms/?room_id=test&name=Other", nil)
	require.Equal(t, http.StatusOK, res.Status, "it exists")
	res.JSON(t, &r)
	requireRoom(t, room{RoomID: "test", Name: "Test Room"}, 2, 2, r)
	for _, path := range []string{"/rooms/test", "/rooms/test/"} {
		p.Get(t, path).JSON(t, &r)
		requireRoom(t, room{RoomID: "test", Name: "Test Room"}, 2, 2, r)
	}

	res = p.PostJSON(t, "/rooms", map[string]string{"room_id": "json", "name": "<Ünïcode> & \"quotes\""})
	require.Equal(t, http.StatusCreated, res.Status, res.Body)
	res.JSON(t, &r)
	requireRoom(t, room{RoomID: "json", Name: "<Ünïcode> & \"quotes\""}, 0, 0, r)
	res = p.PostJSON(t, "/rooms", map[string]string{"room_id": "nameless"})
	require.Equal(t, http.StatusCreated, res.Status, res.Body)
	res.JSON(t, &r)
	require.Equal(t, "nameless", r.Name)
	p.Join(t, "by-joining", "ada")
	require.ElementsMatch(t, []string{"general", "go", "random", "test", "json", "nameless", "by-joining"}, ids())

	require.Equal(t, http.StatusOK, p.Do(t, http.MethodDelete, "/rooms/json/", nil).Status)
	requireProblem(t, http.StatusNotFound, p.Do(t, http.MethodDelete, "/rooms/json", nil))
	require.NotContains(t, ids(), "json")

	p.Stop(t)
	p.Restart(t)
	require.ElementsMatch(t, []string{"general", "go", "random", "test", "nameless", "by-joining"}, ids())
	p.Get(t, "/rooms/test").JSON(t, &r)
	requireRoom(t, room{RoomID: "test", Name: "Test Room"}, 0, 2, r)
}

func TestARoomsMessagesCanBeRead(t *testing.T) {
	p := apptest.Shared(t)
	ada := p.Join(t, "read", "ada")
	for _, text := range numbered("m", 1, 250) {
		ada.Say(t, text)
	}
	ada.UntilText(t, "m250")
	var page struct {
		RoomID   string `json:"room_id"`
		Messages []apptest.Frame
	}
	for query, want := range map[string]string{
		"":                    "151 to 250",
		"/":                   "151 to 250",
		"?limit=3":            "248 to 250",
		"?since=10":           "11 to 110",
		"?since=10&limit=200": "11 to 210",
		"?since=249":          "250 to 250",
		"?since=0&limit=1000": "1 to 250",
	} {
		p.Get(t, "/rooms/read/messages"+query).JSON(t, &page)
		require.Equal(t, "read", page.RoomID)
		require.Equal(t, want, seqs(t, page.Messages), query)
	}
	p.Get(t, "/rooms/read/messages?limit=1").JSON(t, &page)
	live := ada.Messages()[249]
	require.Equal(t, live.ID, page.Messages[0].ID)
	require.Equal(t, live.Timestamp, page.Messages[0].Timestamp)
	require.Equal(t, "ada", page.Messages[0].ClientID)
	var list struct {
		Epoch    string
		Reset    bool
		Messages []struct{ Seq int64 }
	}
	none := p.Get(t, "/rooms/read/messages?since=250")
	none.JSON(t, &list)
	require.JSONEq(t, `{"room_id":"read","epoch":"`+list.Epoch+`","messages":[]}`, none.Body, "a list, not null")
	p.Get(t, "/rooms/read/messages?since=9999").JSON(t, &list)
	require.True(t, list.Reset, "what comes after a message that there is not does not follow on it")
	require.Len(t, list.Messages, 100)
	for _, query := range []string{"?since=-1", "?since=x", "?limit=0", "?limit=1001", "?limit=x"} {
		requireProblem(t, http.StatusUnprocessableEntity, p.Get(t, "/rooms/read/messages"+query))
	}
	requireProblem(t, http.StatusNotFound, p.Get(t, "/rooms/nowhere/messages"))
}

func TestWhatCannotBeServedIsAProblem(t *testing.T) {
	p := apptest.Shared(t)
	for call, status := range map[string]int{
		"GET /nowhere":                          404,
		"GET /rooms/nowhere":                    404,
		"GET /rooms/nowhere/":                   404,
		"DELETE /rooms/nowhere":                 404,
		"GET /rooms/" + strings.Repeat("x", 65): 422,
		"GET /rooms/a%20b":                      422,
		"POST /rooms":                           422,
		"POST /rooms?room_id=":                  422,
		"POST /rooms?room_id=a/b":               422,
		"POST /rooms?room_id=a&name=" + strings.Repeat("x", 129): 422,
		"POST /rooms?room_id=a&name=%20":                         422,
		"POST /rooms?room_id=" + strings.Repeat("x", 65):         422,
		"POST /nowhere": 404,
		"DELETE /rooms": 405,
		"PUT /health":   405,
		"POST /":        405,
	} {
		method, path, _ := strings.Cut(call, " ")
		t.Run(call, func(t *testing.T) {
			res := p.Do(t, method, path, nil)
			requireProblem(t, status, res)
			if status == http.StatusMethodNotAllowed {
				require.Contains(t, res.Header.Get("Allow"), "GET")
			}
		})
	}
	for name, body := range map[string]string{
		"no JSON": `{"room_id":`, "an array": `[]`, "a number": `{"room_id":1}`, "an unknown field": `{"room_id":"a","colour":"red"}`,
	} {
		t.Run(name, func(t *testing.T) {
			res := p.Do(t, http.MethodPost, "/rooms", []byte(body), "Content-Type", "application/json")
			require.GreaterOrEqual(t, res.Status, 400)
			require.Less(t, res.Status, 500)
			requireProblem(t, res.Status, res)
		})
	}
	require.NotContains(t, fmt.Sprint(p.Get(t, "/rooms").Body), `"room_id":"a"`, "nothing was created")
}

func TestThePageIsServed(t *testing.T) {
	res := apptest.Shared(t).Get(t, "/")
	require.Equal(t, http.StatusOK, res.Status)
	require.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
	require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'")
}
