-- A token that a client received when it was paired. Only a hash of the token is kept. origin is that of the page that
-- received it, or empty for a program. What decides is authenticated: the hash, the scopes and the origin.
CREATE TABLE client_tokens (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
    name       TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    origin     TEXT,
    token_hash TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    mac        BLOB
) STRICT;
