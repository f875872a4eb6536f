-- Everybody's own accounts at upstreams. `sealed_…` columns open only for the row they were sealed for.

ALTER TABLE upstreams ADD COLUMN sealed_oauth_config TEXT NOT NULL DEFAULT '';

CREATE TABLE upstream_registrations (
    upstream_id  TEXT NOT NULL REFERENCES upstreams (id) ON DELETE CASCADE,
    issuer       TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    sealed       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (upstream_id, issuer, redirect_uri)
);

CREATE TABLE upstream_sign_ins (
    state_hash   TEXT PRIMARY KEY,
    upstream_id  TEXT NOT NULL REFERENCES upstreams (id) ON DELETE CASCADE,
    browser_hash TEXT NOT NULL,
    sealed       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    used_at      BIGINT
);
CREATE INDEX upstream_sign_ins_expiry ON upstream_sign_ins (expires_at);

CREATE TABLE upstream_credentials (
    upstream_id TEXT NOT NULL REFERENCES upstreams (id) ON DELETE CASCADE,
    owner_kind  TEXT NOT NULL,
    owner_id    TEXT NOT NULL,
    sealed      TEXT NOT NULL,
    state       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    more_scope  TEXT NOT NULL,
    version     BIGINT NOT NULL,
    lease_until BIGINT,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (upstream_id, owner_kind, owner_id)
);
CREATE INDEX upstream_credentials_owner ON upstream_credentials (owner_kind, owner_id);

CREATE TABLE connect_sessions (
    id            TEXT PRIMARY KEY,
    identity_kind TEXT NOT NULL,
    identity_id   TEXT NOT NULL,
    browser_hash  TEXT,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX connect_sessions_expiry ON connect_sessions (expires_at);
