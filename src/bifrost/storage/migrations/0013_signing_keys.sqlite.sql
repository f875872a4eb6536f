-- Keys that sign JWT access tokens. `sealed_private` opens only for its own row.

CREATE TABLE signing_keys (
    kid            TEXT PRIMARY KEY,
    alg            TEXT NOT NULL,
    state          TEXT NOT NULL,
    public_jwk     TEXT NOT NULL,
    sealed_private TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    activated_at   BIGINT,
    ends_at        BIGINT
);
CREATE UNIQUE INDEX signing_keys_one ON signing_keys (alg, state) WHERE state <> 'retiring';

CREATE TRIGGER signing_keys_updated AFTER UPDATE ON signing_keys
BEGIN UPDATE change_marks SET value = value + 1; END;

CREATE TRIGGER signing_keys_deleted AFTER DELETE ON signing_keys
BEGIN UPDATE change_marks SET value = value + 1; END;
