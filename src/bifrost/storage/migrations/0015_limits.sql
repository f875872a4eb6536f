-- What a virtual key may spend. A window of `key_usage` is one limit of one key; it begins with the first call in it.

ALTER TABLE virtual_keys ADD COLUMN rate_limit TEXT;
ALTER TABLE virtual_keys ADD COLUMN budgets TEXT NOT NULL DEFAULT '[]';
ALTER TABLE upstreams ADD COLUMN tool_pricing TEXT NOT NULL DEFAULT '{}';

CREATE TABLE key_usage (
    key_id    TEXT NOT NULL,
    name      TEXT NOT NULL,
    used      BIGINT NOT NULL,
    resets_at BIGINT NOT NULL,
    PRIMARY KEY (key_id, name)
);
CREATE INDEX key_usage_reset ON key_usage (resets_at);
