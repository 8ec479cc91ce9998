-- What the store needs to tell that a room's numbers mean something else than before, and that a message is stored already.

-- +goose Up

-- One row. id names this database, and distinguishes its rooms from those of another file with the same name. A power failure can
-- take the newest messages, whose numbers are then used again: lives counts how often that may have happened. boot names
-- the run of the operating system in which messages were stored that may not be on the disk yet; NULL: all are, as after Close.
CREATE TABLE life (
    id    TEXT    NOT NULL,
    lives INTEGER NOT NULL DEFAULT 0,
    boot  TEXT
) STRICT;
INSERT INTO life (id) VALUES (lower(hex(randomblob(4))));

-- The place of the message that a client sent to a room with a ref. There is no index by time, so that a message costs one more
-- row in one tree only; to find what is too old, the whole table is walked through.
CREATE TABLE message_refs (
    room       INTEGER NOT NULL,
    client_id  TEXT    NOT NULL,
    ref        TEXT    NOT NULL,
    place      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (room, client_id, ref)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE message_refs;
DROP TABLE life;
