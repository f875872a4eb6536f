-- Clients that somebody has allowed once, or that an administrator registered. Registering writes nothing here.
-- `metadata` is what was accepted of the client's own metadata, in JSON.

CREATE TABLE oauth_clients (
    id           TEXT PRIMARY KEY,
    client_id    TEXT NOT NULL UNIQUE,
    origin       TEXT NOT NULL,
    client_name  TEXT NOT NULL,
    metadata     TEXT NOT NULL,
    secret_hash  TEXT NOT NULL,
    label        TEXT NOT NULL,
    scope_limit  TEXT NOT NULL,
    blocked_at   BIGINT,
    fetched_at   BIGINT NOT NULL,
    fresh_until  BIGINT NOT NULL,
    consented_at BIGINT,
    config_mac   TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);

CREATE TABLE used_assertions (
    assertion_hash TEXT PRIMARY KEY,
    expires_at     BIGINT NOT NULL
);
CREATE INDEX used_assertions_expiry ON used_assertions (expires_at);

CREATE INDEX grants_client ON grants (client_id);

-- Counters that all processes share, one for each subject and minute, written only near a limit. And how many of a
-- client's authorization requests wait for somebody, found without reading those of others.

CREATE TABLE request_counters (
    bucket     TEXT PRIMARY KEY,
    counted    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX request_counters_expiry ON request_counters (expires_at);

CREATE INDEX pending_flows_waiting ON pending_flows (client_id, expires_at) WHERE finished_at IS NULL;

-- What a person allowed a client, and the browsers in which they finished a consent.

CREATE TABLE remembered_consents (
    id             TEXT PRIMARY KEY,
    identity_kind  TEXT NOT NULL,
    identity_id    TEXT NOT NULL,
    client_id      TEXT NOT NULL,
    scope          TEXT NOT NULL,
    resources      TEXT NOT NULL,
    redirect_hosts TEXT NOT NULL,
    keys_hash      TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    UNIQUE (identity_kind, identity_id, client_id)
);
CREATE INDEX remembered_consents_expiry ON remembered_consents (expires_at);

CREATE TABLE known_browsers (
    person_hash   TEXT NOT NULL,
    identity_kind TEXT NOT NULL,
    identity_id   TEXT NOT NULL,
    proof         TEXT NOT NULL,
    expires_at    BIGINT NOT NULL,
    PRIMARY KEY (person_hash, identity_kind, identity_id)
);
CREATE INDEX known_browsers_expiry ON known_browsers (expires_at);
