-- Times are unix milliseconds, ids are text, JSON is text. Words (kind, owner, status, ...) are pinned by tests.

CREATE TABLE crypto_keys (
    key_id     TEXT    NOT NULL PRIMARY KEY,
    kcv        BYTEA   NOT NULL,
    state      TEXT    NOT NULL,
    created_at BIGINT  NOT NULL
);

CREATE TABLE identity_bundles (
    id          TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
    name        TEXT    NOT NULL,
    name_key    TEXT    NOT NULL UNIQUE,
    description TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL,
    updated_at  BIGINT  NOT NULL
);

-- sealed_secret is bound to the row's id and to generation, which grows each time it is written.
CREATE TABLE accounts (
    id                TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
    provider          TEXT    NOT NULL,
    kind              TEXT    NOT NULL,
    owner             TEXT    NOT NULL,
    name              TEXT    NOT NULL,
    display_name      TEXT,
    email             TEXT,
    subject           TEXT,
    base_url          TEXT,
    client_id         TEXT,
    scopes            TEXT,
    secret_ref        TEXT    NOT NULL,
    sealed_secret     BYTEA,
    generation        BIGINT  NOT NULL DEFAULT 0,
    masked_tail       TEXT,
    status            TEXT    NOT NULL,
    status_reason     TEXT,
    evidence          TEXT    NOT NULL,
    checked_at        BIGINT,
    expires_at        BIGINT,
    login_deadline_at BIGINT,
    created_at        BIGINT  NOT NULL,
    updated_at        BIGINT  NOT NULL,
    UNIQUE (id, provider)
);

CREATE INDEX accounts_provider ON accounts (provider);

-- The second key keeps a binding's provider that of its account.
CREATE TABLE identity_bindings (
    bundle_id  TEXT    NOT NULL REFERENCES identity_bundles (id) ON DELETE CASCADE CHECK (bundle_id <> 'blank'),
    provider   TEXT    NOT NULL,
    account_id TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    PRIMARY KEY (bundle_id, provider),
    FOREIGN KEY (account_id, provider) REFERENCES accounts (id, provider) ON DELETE CASCADE
);

CREATE INDEX identity_bindings_account ON identity_bindings (account_id, provider);

-- No URL, no code and nothing that a person pasted is ever written here.
CREATE TABLE login_sessions (
    id            TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
    provider      TEXT    NOT NULL,
    recipe        TEXT    NOT NULL,
    target_bundle TEXT,
    new_bundle    BIGINT  NOT NULL,
    state         TEXT    NOT NULL,
    revision      BIGINT  NOT NULL,
    pid           BIGINT,
    process_start TEXT,
    bundle_id     TEXT,
    account_id    TEXT,
    email         TEXT,
    error         TEXT,
    error_kind    TEXT,
    hint          TEXT,
    exit_code     BIGINT,
    started_at    BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL,
    updated_at    BIGINT  NOT NULL,
    ended_at      BIGINT
);

CREATE INDEX login_sessions_live ON login_sessions (started_at) WHERE ended_at IS NULL;
CREATE INDEX login_sessions_started ON login_sessions (started_at);

CREATE TABLE service_settings (
    key        TEXT    NOT NULL PRIMARY KEY CHECK (key <> ''),
    value      TEXT    NOT NULL,
    updated_at BIGINT  NOT NULL
);

CREATE TABLE audit_log (
    seq     BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      BIGINT  NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    detail  TEXT
);

CREATE TABLE events (
    seq    BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     BIGINT  NOT NULL,
    change TEXT    NOT NULL
);
