-- What is shown of a credential, and what decides about it without opening it.
-- `lasting` is the state but for what passes by itself: access that may come back, headers that may be asked for again.

ALTER TABLE upstream_credentials ADD COLUMN id TEXT NOT NULL DEFAULT '';
ALTER TABLE upstream_credentials ADD COLUMN kind TEXT NOT NULL DEFAULT 'oauth';
ALTER TABLE upstream_credentials ADD COLUMN header_names TEXT NOT NULL DEFAULT '[]';
ALTER TABLE upstream_credentials ADD COLUMN target TEXT NOT NULL DEFAULT '';
ALTER TABLE upstream_credentials ADD COLUMN lasting TEXT NOT NULL DEFAULT 'active';

UPDATE upstream_credentials SET lasting = 'needs_reauth' WHERE state = 'needs_reauth';

WITH numbered AS (
    SELECT upstream_id, owner_kind, owner_id,
           row_number() OVER (ORDER BY created_at, upstream_id, owner_kind, owner_id) AS number
    FROM upstream_credentials
)
UPDATE upstream_credentials SET id = 'cred_' || numbered.number
FROM numbered
WHERE upstream_credentials.upstream_id = numbered.upstream_id
  AND upstream_credentials.owner_kind = numbered.owner_kind
  AND upstream_credentials.owner_id = numbered.owner_id;

CREATE UNIQUE INDEX upstream_credentials_id ON upstream_credentials (id);
CREATE INDEX upstream_credentials_created ON upstream_credentials (created_at, id);
