-- Nodes that share the database, and which clients are in which rooms on them. If it is lost, the nodes write it again.

-- +goose Up

-- One row, which names this database, and distinguishes its nodes from those of another.
CREATE TABLE cluster (
    id text NOT NULL
);
INSERT INTO cluster (id) VALUES (gen_random_uuid());

-- A node that does not renew its row before it expires is dead: another node deletes the row, and the node's participants with
-- it. If the node is alive after all, it begins anew with another number.
CREATE TABLE nodes (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        NOT NULL,
    expires_at timestamptz NOT NULL
);

-- How many clients are in a room. turn counts the changes. Whoever changes participants holds the lock of the row.
CREATE TABLE attendance (
    room         bigint PRIMARY KEY REFERENCES rooms ON DELETE CASCADE,
    participants bigint NOT NULL DEFAULT 0,
    turn         bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- A client is in a room while it has a row, of any node.
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
