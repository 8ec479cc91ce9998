-- What tells that a message has been stored already.

-- +goose Up

-- Which message a client sent to a room under a ref. No foreign key, as in messages.
CREATE TABLE message_refs (
    room       bigint NOT NULL,
    client_id  text COLLATE "C" NOT NULL,
    ref        text COLLATE "C" NOT NULL,
    seq        bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (room, client_id, ref)
);
CREATE INDEX ON message_refs (created_at);

-- +goose Down
DROP TABLE message_refs;
