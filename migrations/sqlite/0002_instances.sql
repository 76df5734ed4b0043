-- An agent that runs under a bundle. bundle_id is empty while it runs under none; the bundle `blank` counts as none.
CREATE TABLE agent_instances (
    id            TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
    definition_id TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    bundle_id     TEXT    REFERENCES identity_bundles (id) ON DELETE SET NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    ended_at      INTEGER
) STRICT;

CREATE INDEX agent_instances_bundle ON agent_instances (bundle_id);
CREATE INDEX agent_instances_live ON agent_instances (created_at) WHERE ended_at IS NULL;

-- What the user has removed and no migration may bring back: kind and id of it.
CREATE TABLE tombstones (
    kind       TEXT    NOT NULL CHECK (kind <> ''),
    subject    TEXT    NOT NULL CHECK (subject <> ''),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT;
