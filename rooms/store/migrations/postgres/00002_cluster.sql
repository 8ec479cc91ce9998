-- Nodes that share the database, and who is in which room on them. All of it can be lost and is made again by the nodes.

-- +goose Up

-- The one row names this database, to tell its nodes from those of another.
CREATE TABLE cluster (
    id text NOT NULL
);
INSERT INTO cluster (id) VALUES (gen_random_uuid());

-- A node that has not renewed its row until it expires is taken for dead, and whoever sees it deletes it with all that
-- the node has said. If it lives after all, it begins anew under another number.
CREATE TABLE nodes (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        NOT NULL,
    expires_at timestamptz NOT NULL
);

-- How many clients are in a room. turn counts the changes. The row's lock is held while participants change.
CREATE TABLE attendance (
    room         bigint PRIMARY KEY REFERENCES rooms ON DELETE CASCADE,
    participants bigint NOT NULL DEFAULT 0,
    turn         bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- A client is in a room while there is a row for it, of whatever node.
CREATE TABLE participants (
    room      bigint NOT NULL REFERENCES rooms ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL,
    node      bigint NOT NULL REFERENCES nodes,
    PRIMARY KEY (room, client_id, node)
);
CREATE INDEX ON participants (node);

-- +goose Down
DROP TABLE participants;
DROP TABLE attendance;
DROP TABLE nodes;
DROP TABLE cluster;
