package stacktest

// operations has every operation of the visit of visit_test.go and of the load script, by the name of its span, with the span's
// kind as Jaeger shows it.
var operations = []struct{ span, kind string }{
	{"start", "internal"},

	{"GET /ws/{room_id}/{client_id}", "server"},
	{"join room/{room}", "internal"},
	{"receive room/{room}", "consumer"},
	{"append", "client"},
	{"broadcast room/{room}", "producer"},
	{"deliver room/{room}", "internal"},
	{"leave room/{room}", "internal"},
	{"disconnect", "internal"},

	{"GET /rooms", "server"},
	{"list rooms", "internal"},
	{"POST /rooms", "server"},
	{"create room", "internal"},
	{"GET /rooms/{room_id}", "server"},
	{"get room", "internal"},
	{"DELETE /rooms/{room_id}", "server"},
	{"delete room", "internal"},
	{"GET /rooms/{room_id}/messages", "server"},
	{"list messages", "internal"},

	{"GET /socket.io/", "server"},

	{"POST /users", "server"},
	{"create user", "internal"},
	{"GET /users", "server"},
	{"list users", "internal"},
	{"GET /users/{id}", "server"},
	{"get user", "internal"},
	{"DELETE /users/{id}", "server"},
	{"delete user", "internal"},
	{"POST /chatrooms", "server"},
	{"GET /chatrooms", "server"},
	{"GET /chatrooms/{id}", "server"},
	{"DELETE /chatrooms/{id}", "server"},
	{"POST /messages", "server"},
	{"GET /messages/{id}", "server"},
	{"get message", "internal"},
	{"GET /messages/chatroom/{chatroom_id}", "server"},
	{"DELETE /messages/{id}", "server"},
	{"delete message", "internal"},
}

// edges are the parts of a message's trace: a span and its parent.
var edges = []struct{ span, parent string }{
	{"receive room/{room}", ""},
	{"append", "receive room/{room}"},
	{"broadcast room/{room}", "receive room/{room}"},
	{"deliver room/{room}", "broadcast room/{room}"},
}
