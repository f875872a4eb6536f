-- A commit costs by the pages it changes. Short rows that are found by their key alone are kept in the tree of the key
-- itself; and that ids of audit rows differ is sure without an index: they are random, and nobody looks one up.

CREATE TABLE access_tokens_by_hash (
    token_hash TEXT PRIMARY KEY,
    grant_id   TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    scope      TEXT NOT NULL,
    jkt        TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO access_tokens_by_hash (token_hash, grant_id, scope, jkt, created_at, expires_at)
SELECT token_hash, grant_id, scope, jkt, created_at, expires_at FROM access_tokens ORDER BY token_hash;
DROP TABLE access_tokens;
ALTER TABLE access_tokens_by_hash RENAME TO access_tokens;
CREATE INDEX access_tokens_grant ON access_tokens (grant_id);
CREATE INDEX access_tokens_expiry ON access_tokens (expires_at);
CREATE TRIGGER access_tokens_updated AFTER UPDATE ON access_tokens
BEGIN UPDATE change_marks SET value = value + 1; END;

CREATE TABLE refresh_tokens_by_hash (
    token_hash          TEXT PRIMARY KEY,
    grant_id            TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    jkt                 TEXT NOT NULL DEFAULT '',
    created_at          BIGINT NOT NULL,
    expires_at          BIGINT NOT NULL,
    used_at             BIGINT,
    successor_hash      TEXT NOT NULL DEFAULT '',
    sealed_successors   TEXT NOT NULL DEFAULT '',
    replays             BIGINT NOT NULL DEFAULT 0,
    answered_again      BIGINT NOT NULL DEFAULT 0,
    presented_by_others BIGINT NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO refresh_tokens_by_hash
    (token_hash, grant_id, jkt, created_at, expires_at, used_at, successor_hash, sealed_successors, replays, answered_again,
     presented_by_others)
SELECT token_hash, grant_id, jkt, created_at, expires_at, used_at, successor_hash, sealed_successors, replays, answered_again,
       presented_by_others
FROM refresh_tokens ORDER BY token_hash;
DROP TABLE refresh_tokens;
ALTER TABLE refresh_tokens_by_hash RENAME TO refresh_tokens;
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE known_browsers_by_person (
    person_hash   TEXT NOT NULL,
    identity_kind TEXT NOT NULL,
    identity_id   TEXT NOT NULL,
    proof         TEXT NOT NULL,
    expires_at    BIGINT NOT NULL,
    PRIMARY KEY (person_hash, identity_kind, identity_id)
) WITHOUT ROWID;
INSERT INTO known_browsers_by_person (person_hash, identity_kind, identity_id, proof, expires_at)
SELECT person_hash, identity_kind, identity_id, proof, expires_at FROM known_browsers
ORDER BY person_hash, identity_kind, identity_id;
DROP TABLE known_browsers;
ALTER TABLE known_browsers_by_person RENAME TO known_browsers;
CREATE INDEX known_browsers_expiry ON known_browsers (expires_at);

CREATE TABLE audit_events_by_number (
    number         INTEGER PRIMARY KEY,
    id             TEXT NOT NULL,
    at             BIGINT NOT NULL,
    event          TEXT NOT NULL,
    actor          TEXT NOT NULL,
    target         TEXT NOT NULL,
    result         TEXT NOT NULL,
    client_address TEXT NOT NULL,
    event_id       TEXT NOT NULL,
    details        TEXT NOT NULL
);
INSERT INTO audit_events_by_number (number, id, at, event, actor, target, result, client_address, event_id, details)
SELECT number, id, at, event, actor, target, result, client_address, event_id, details FROM audit_events ORDER BY number;
DROP TABLE audit_events;
ALTER TABLE audit_events_by_number RENAME TO audit_events;
CREATE INDEX audit_events_at ON audit_events (at);
CREATE TRIGGER audit_events_not_changed BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit events are only added'); END;
CREATE TRIGGER audit_events_not_deleted BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit events are only added'); END;
