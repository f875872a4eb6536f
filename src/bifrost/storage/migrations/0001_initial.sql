-- Times are milliseconds since the Unix epoch (UTC). Secrets that we issue are kept as SHA-256 in hex.
-- `config_mac` tells what the configuration file last said of a row; it is empty once the row is changed otherwise.

CREATE TABLE installation (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE virtual_keys (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    value_hash  TEXT NOT NULL UNIQUE,
    value_hint  TEXT NOT NULL,
    is_active   BOOLEAN NOT NULL,
    expires_at  BIGINT,
    mcp_configs TEXT NOT NULL,
    config_mac  TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

CREATE TABLE upstreams (
    id                        TEXT PRIMARY KEY,
    name                      TEXT NOT NULL UNIQUE,
    endpoint_slug             TEXT NOT NULL UNIQUE,
    connection_type           TEXT NOT NULL,
    connection_string         TEXT NOT NULL,
    auth_type                 TEXT NOT NULL,
    sealed_headers            TEXT NOT NULL,
    tools_to_execute          TEXT NOT NULL,
    allow_on_all_virtual_keys BOOLEAN NOT NULL,
    tool_execution_timeout    BIGINT NOT NULL,
    disabled                  BOOLEAN NOT NULL,
    config_mac                TEXT NOT NULL,
    created_at                BIGINT NOT NULL,
    updated_at                BIGINT NOT NULL
);

CREATE TABLE pending_flows (
    id             TEXT PRIMARY KEY,
    browser_hash   TEXT NOT NULL,
    client_id      TEXT NOT NULL,
    redirect_uri   TEXT NOT NULL,
    state          TEXT,
    code_challenge TEXT NOT NULL,
    scope          TEXT NOT NULL,
    resource       TEXT NOT NULL,
    identity_kind  TEXT,
    identity_id    TEXT,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    finished_at    BIGINT
);
CREATE INDEX pending_flows_expiry ON pending_flows (expires_at);

CREATE TABLE grants (
    id             TEXT PRIMARY KEY,
    client_id      TEXT NOT NULL,
    identity_kind  TEXT NOT NULL,
    identity_id    TEXT NOT NULL,
    scope          TEXT NOT NULL,
    resource       TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    revoked_at     BIGINT,
    revoked_reason TEXT
);
CREATE INDEX grants_expiry ON grants (expires_at);

CREATE TABLE authorization_codes (
    code_hash       TEXT PRIMARY KEY,
    grant_id        TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    client_id       TEXT NOT NULL,
    redirect_uri    TEXT NOT NULL,
    code_challenge  TEXT NOT NULL,
    scope           TEXT NOT NULL,
    resource        TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    used_at         BIGINT,
    failed_attempts BIGINT NOT NULL
);
CREATE INDEX authorization_codes_grant ON authorization_codes (grant_id);

CREATE TABLE access_tokens (
    token_hash TEXT PRIMARY KEY,
    grant_id   TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    scope      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX access_tokens_grant ON access_tokens (grant_id);
CREATE INDEX access_tokens_expiry ON access_tokens (expires_at);

CREATE TABLE refresh_tokens (
    token_hash TEXT PRIMARY KEY,
    grant_id   TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE key_guesses (
    bucket     TEXT PRIMARY KEY,
    failures   BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX key_guesses_expiry ON key_guesses (expires_at);
