-- Administrators: tokens made by set-up or by hand, the browsers that signed in with one, and the link of a set-up.

CREATE TABLE admin_tokens (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    token_hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE admin_sessions (
    session_hash   TEXT PRIMARY KEY,
    token_id       TEXT REFERENCES admin_tokens (id) ON DELETE CASCADE,
    configured_mac TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    seen_at        BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL
);
CREATE INDEX admin_sessions_token ON admin_sessions (token_id);
CREATE INDEX admin_sessions_expiry ON admin_sessions (expires_at);

CREATE TABLE setup_links (
    slot       TEXT PRIMARY KEY,
    link_hash  TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
