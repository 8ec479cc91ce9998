-- What tells a client that a room's numbers mean something else than before, and that a message has been stored already.

-- +goose Up

-- The one row. id names this database, to tell its rooms from those of another file under the same name. A power failure can
-- take the newest messages, whose numbers are then given out again: lives counts how often that may have happened. boot is
-- the operating system's run in which messages may be stored that are not on the disk yet; NULL: all are, as after Close.
CREATE TABLE life (
    id    TEXT    NOT NULL,
    lives INTEGER NOT NULL DEFAULT 0,
    boot  TEXT
) STRICT;
INSERT INTO life (id) VALUES (lower(hex(randomblob(4))));

-- Where the message is that a client sent to a room under a ref. There is no index by time: the table is walked through for
-- what is too old, so that a message pays for one tree alone.
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
