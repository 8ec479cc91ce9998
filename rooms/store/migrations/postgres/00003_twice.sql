-- What the store needs to tell that a message is stored already.

-- +goose Up

-- The sequence number of the message that a client sent to a room with a ref. There is no foreign key, as in messages.
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
