-- Values of virtual keys that were rotated away or deleted: whoever still has one never gets in with it again, also not
-- through an entry of the configuration file that still names it.

CREATE TABLE retired_key_values (
    value_hash TEXT PRIMARY KEY,
    retired_at BIGINT NOT NULL
);
CREATE INDEX grants_identity ON grants (identity_kind, identity_id);
