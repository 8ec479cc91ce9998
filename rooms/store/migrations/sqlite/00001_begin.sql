-- Times are Unix milliseconds.

-- +goose Up

-- A room's number is never used again, so a room that is created anew with an old id has nothing of the old room.
-- The newest sequence number is that of the room's last row in messages, deleted or not; that number minus deleted is how many
-- messages there are. So an append changes no row here.
CREATE TABLE rooms (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    deleted    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- place is the room's number * 2^36 + the sequence number: SQLite's tables are trees by one integer, so this is the cheapest
-- order by room and sequence number. A message's id is made of created_at and place, and needs neither a column nor an index. A
-- deleted message keeps its row, without its text. updated_at is 0 if nothing has changed since created_at. parent_id is the 16 bytes
-- of a UUID. traceparent is 25 bytes: trace id, span id and flags; if it has another length, it is the text as it came.
CREATE TABLE messages (
    place       INTEGER PRIMARY KEY,
    client_id   TEXT    NOT NULL,
    text        TEXT    NOT NULL,
    is_reply    INTEGER NOT NULL,
    parent_id   BLOB,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    traceparent BLOB    NOT NULL,
    tracestate  TEXT    NOT NULL,
    deleted     INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Deleted rooms whose messages have not all been removed yet.
CREATE TABLE deleted_rooms (
    number INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE users (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    handle     TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE users;
DROP TABLE deleted_rooms;
DROP TABLE messages;
DROP TABLE rooms;
