-- Times are Unix milliseconds. Ids are compared by their bytes.

-- +goose Up

-- A room's number is never used again, so a room that is created anew with an old id has nothing of the old room.
-- last_seq is the number of the newest message, deleted or not; deleted is how many messages were deleted. Every append
-- changes the row: fillfactor leaves space on the page for its next version.
CREATE TABLE rooms (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text COLLATE "C" NOT NULL UNIQUE,
    name       text   NOT NULL,
    created_at bigint NOT NULL,
    last_seq   bigint NOT NULL DEFAULT 0,
    deleted    bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- A deleted message keeps its row, without its text. There is no foreign key, as a deleted room's messages are removed a few at a
-- time.
CREATE TABLE messages (
    room        bigint  NOT NULL,
    seq         bigint  NOT NULL,
    id          text COLLATE "C" NOT NULL UNIQUE,
    client_id   text    NOT NULL,
    text        text    NOT NULL,
    is_reply    boolean NOT NULL,
    parent_id   text,
    created_at  bigint  NOT NULL,
    updated_at  bigint  NOT NULL,
    traceparent text    NOT NULL,
    tracestate  text    NOT NULL,
    deleted     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (room, seq)
);

-- Deleted rooms whose messages have not all been removed yet.
CREATE TABLE deleted_rooms (
    number bigint PRIMARY KEY
);

CREATE TABLE users (
    id         text COLLATE "C" PRIMARY KEY,
    name       text   NOT NULL,
    handle     text COLLATE "C" NOT NULL UNIQUE,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);

-- +goose Down
DROP TABLE users;
DROP TABLE deleted_rooms;
DROP TABLE messages;
DROP TABLE rooms;
