-- The token set of an account whose secret is `tokens`. The sealed columns are bound to the account's id and to generation,
-- which grows each time the set is written. A state of `refreshing` with a lease that is over is a refresh that was cut off.
CREATE TABLE account_tokens (
    account_id            TEXT    NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    generation            BIGINT  NOT NULL,
    sealed_access         BYTEA   NOT NULL,
    access_expires_at     BIGINT,
    access_expiry_source  TEXT    NOT NULL,
    sealed_refresh        BYTEA,
    refresh_expires_at    BIGINT,
    refresh_expiry_source TEXT    NOT NULL,
    sealed_id             BYTEA,
    id_expires_at         BIGINT,
    id_expiry_source      TEXT    NOT NULL,
    consumer              TEXT    NOT NULL,
    token_type            TEXT,
    scopes                TEXT,
    issuer                TEXT,
    token_url             TEXT,
    token_auth_method     TEXT    NOT NULL,
    state                 TEXT    NOT NULL,
    state_since           BIGINT  NOT NULL,
    state_reason          TEXT,
    lease_holder          TEXT,
    lease_fence           BIGINT  NOT NULL DEFAULT 0,
    lease_until           BIGINT,
    cut_off               BIGINT  NOT NULL DEFAULT 0,
    failures              BIGINT  NOT NULL DEFAULT 0,
    next_attempt_at       BIGINT,
    next_refresh_at       BIGINT,
    dead_refresh          TEXT,
    received_at           BIGINT  NOT NULL,
    last_refreshed_at     BIGINT
);

-- The refresher's queue.
CREATE INDEX account_tokens_due ON account_tokens (next_refresh_at, account_id) WHERE next_refresh_at IS NOT NULL;

-- A credential that one user brought for one agent. `base_url` (empty for the provider's own) and `identity` (empty when the
-- provider named nobody) tell the accounts of one scope apart; `model` is `*` for all. The lowest position is the primary.
CREATE TABLE user_profiles (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
    user_id    TEXT    NOT NULL CHECK (user_id <> ''),
    agent_id   TEXT    NOT NULL CHECK (agent_id <> ''),
    provider   TEXT    NOT NULL,
    model      TEXT    NOT NULL CHECK (model <> ''),
    base_url   TEXT    NOT NULL,
    identity   TEXT    NOT NULL,
    account_id TEXT    NOT NULL,
    position   BIGINT  NOT NULL,
    label      TEXT,
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL,
    UNIQUE (user_id, agent_id, provider, model, base_url, identity),
    FOREIGN KEY (account_id, provider) REFERENCES accounts (id, provider) ON DELETE CASCADE
);

CREATE INDEX user_profiles_order ON user_profiles (user_id, agent_id, provider, position, id);
CREATE INDEX user_profiles_agent ON user_profiles (agent_id, user_id);
CREATE INDEX user_profiles_account ON user_profiles (account_id, provider);

-- An account that the operator holds for a forge. The setting `active_forge` names the one in use.
CREATE TABLE operator_tokens (
    account_id TEXT    NOT NULL PRIMARY KEY,
    forge_type TEXT    NOT NULL,
    base_url   TEXT    NOT NULL,
    client_id  TEXT    NOT NULL,
    subject    TEXT    NOT NULL CHECK (subject <> ''),
    login      TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL,
    UNIQUE (forge_type, base_url, client_id, subject),
    FOREIGN KEY (account_id, forge_type) REFERENCES accounts (id, provider) ON DELETE CASCADE
);

-- A login whose person is not known yet. It has an account and tokens like any other and is refreshed like any other.
-- user_id is empty for the operator's.
CREATE TABLE pending_logins (
    account_id TEXT    NOT NULL PRIMARY KEY,
    provider   TEXT    NOT NULL,
    base_url   TEXT    NOT NULL,
    client_id  TEXT    NOT NULL,
    flow       TEXT    NOT NULL CHECK (flow <> ''),
    user_id    TEXT,
    hint_email TEXT,
    created_at BIGINT  NOT NULL,
    UNIQUE (provider, base_url, client_id, flow),
    FOREIGN KEY (account_id, provider) REFERENCES accounts (id, provider) ON DELETE CASCADE
);

CREATE INDEX pending_logins_user ON pending_logins (user_id) WHERE user_id IS NOT NULL;
