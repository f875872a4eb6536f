-- Administering upstreams: one that waits for its sign-in is `pending` and nobody's but the administrator's.

ALTER TABLE upstreams ADD COLUMN pending BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE upstreams ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE upstreams ADD COLUMN check_due_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE upstreams ADD COLUMN tools_seen_at BIGINT;
ALTER TABLE upstreams ADD COLUMN tools_hash TEXT NOT NULL DEFAULT '';

CREATE TABLE upstream_set_ups (
    oauth_config_id TEXT PRIMARY KEY,
    upstream_id     TEXT NOT NULL UNIQUE REFERENCES upstreams (id) ON DELETE CASCADE,
    attempt         TEXT NOT NULL UNIQUE,
    browser_hash    TEXT,
    state           TEXT NOT NULL,
    reason          TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL
);
CREATE INDEX upstream_set_ups_expiry ON upstream_set_ups (expires_at);

CREATE TABLE upstream_tools (
    upstream_id   TEXT NOT NULL REFERENCES upstreams (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    position      BIGINT NOT NULL,
    definition    TEXT NOT NULL,
    hash          TEXT NOT NULL,
    discovered_at BIGINT NOT NULL,
    changed_at    BIGINT NOT NULL,
    gone_at       BIGINT,
    PRIMARY KEY (upstream_id, name)
);
