-- A repository that is watched at a forge, by the forge's address and the repository's name in lower case. `etags` and the
-- columns before it are what the last look at it showed.
CREATE TABLE forge_watches (
    base_url       TEXT    NOT NULL CHECK (base_url <> ''),
    repo_key       TEXT    NOT NULL CHECK (repo_key <> ''),
    forge_type     TEXT    NOT NULL,
    repo           TEXT    NOT NULL,
    default_branch TEXT,
    head           TEXT,
    requests       TEXT,
    etags          TEXT,
    checked_at     BIGINT,
    changed_at     BIGINT,
    problem        TEXT,
    created_at     BIGINT  NOT NULL,
    mac            BYTEA,
    PRIMARY KEY (base_url, repo_key)
);
