-- Each row's hash covers the hash of the row before it, keyed with the chain's own key. Rows that were written before
-- this migration get theirs at the next start.
ALTER TABLE audit_log ADD COLUMN outcome TEXT NOT NULL DEFAULT 'ok';
ALTER TABLE audit_log ADD COLUMN hash BLOB;

-- One row: the chain's key, and signed where the rows that are kept begin and end.
CREATE TABLE audit_chain (
    id          TEXT    NOT NULL PRIMARY KEY CHECK (id = 'chain'),
    sealed_key  BLOB    NOT NULL,
    generation  INTEGER NOT NULL,
    start_count INTEGER NOT NULL,
    start_hash  BLOB    NOT NULL,
    start_proof BLOB    NOT NULL,
    head_count  INTEGER NOT NULL,
    head_hash   BLOB    NOT NULL,
    head_proof  BLOB    NOT NULL
) STRICT;
