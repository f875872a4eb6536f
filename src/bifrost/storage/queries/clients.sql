-- name: client^
SELECT id, client_id, origin, client_name, metadata, secret_hash, label, scope_limit, blocked_at, fetched_at, fresh_until,
       consented_at, created_at, updated_at
FROM oauth_clients WHERE client_id = :client_id;

-- name: client_by_row^
SELECT id, client_id, origin, client_name, metadata, secret_hash, label, scope_limit, blocked_at, fetched_at, fresh_until,
       consented_at, created_at, updated_at
FROM oauth_clients WHERE id = :id;

-- name: clients
SELECT c.id, c.client_id, c.origin, c.client_name, c.metadata, c.secret_hash, c.label, c.scope_limit, c.blocked_at,
       c.fetched_at, c.fresh_until, c.consented_at, c.created_at, c.updated_at,
       (SELECT count(*) FROM grants g
        WHERE g.client_id = c.client_id AND g.revoked_at IS NULL AND g.expires_at > :now) AS grants
FROM oauth_clients c
WHERE :search = '' OR lower(c.label) LIKE :pattern ESCAPE '\' OR lower(c.client_name) LIKE :pattern ESCAPE '\'
   OR c.client_id = :search
ORDER BY COALESCE(c.consented_at, c.created_at) DESC, c.id LIMIT :limit OFFSET :offset;

-- name: living_grants$
SELECT count(*) FROM grants WHERE client_id = :client_id AND revoked_at IS NULL AND expires_at > :now;

-- name: client_count$
SELECT count(*) FROM oauth_clients
WHERE :search = '' OR lower(label) LIKE :pattern ESCAPE '\' OR lower(client_name) LIKE :pattern ESCAPE '\'
   OR client_id = :search;

-- name: add_client^
INSERT INTO oauth_clients
    (id, client_id, origin, client_name, metadata, secret_hash, label, scope_limit, blocked_at, fetched_at, fresh_until,
     consented_at, config_mac, created_at, updated_at)
VALUES
    (:id, :client_id, 'preregistered', :client_name, :metadata, :secret_hash, '', '', NULL, 0, 0, NULL, :config_mac, :now, :now)
ON CONFLICT (client_id) DO NOTHING
RETURNING id;

-- name: reconfigure_client^
UPDATE oauth_clients
SET client_name = :client_name, metadata = :metadata, secret_hash = :secret_hash, config_mac = :config_mac, updated_at = :now
WHERE client_id = :client_id AND origin = 'preregistered' AND config_mac <> '' AND config_mac <> :config_mac
RETURNING id;

-- name: lock_client^
UPDATE oauth_clients SET updated_at = :now WHERE id = :id
RETURNING id, client_id, origin, client_name, metadata, secret_hash, label, scope_limit, blocked_at, fetched_at, fresh_until,
          consented_at, created_at, updated_at;

-- name: write_client!
UPDATE oauth_clients
SET client_name = :client_name, metadata = :metadata, label = :label, scope_limit = :scope_limit, blocked_at = :blocked_at,
    config_mac = CASE WHEN :redefined THEN '' ELSE config_mac END
WHERE id = :id;

-- name: revoke_client_grants!
UPDATE grants SET revoked_at = :now, revoked_reason = :reason
WHERE client_id = :client_id AND revoked_at IS NULL AND scope LIKE :scope;

-- name: remove_client!
DELETE FROM oauth_clients WHERE id = :id;

-- name: record_consent$
-- A client that is blocked meanwhile gives no row, and so no grant. What is returned is the limit of its scope.
INSERT INTO oauth_clients
    (id, client_id, origin, client_name, metadata, secret_hash, label, scope_limit, blocked_at, fetched_at, fresh_until,
     consented_at, config_mac, created_at, updated_at)
VALUES
    (:id, :client_id, :origin, :client_name, :metadata, '', '', '', NULL, :fetched_at, :fresh_until, :now, '', :now, :now)
ON CONFLICT (client_id) DO UPDATE SET consented_at = excluded.consented_at
WHERE oauth_clients.blocked_at IS NULL
RETURNING scope_limit;

-- name: record_registered_consent$
-- An administrator's own client has its row before any consent: one that was deleted meanwhile does not come back.
UPDATE oauth_clients SET consented_at = :now
WHERE client_id = :client_id AND origin = 'preregistered' AND blocked_at IS NULL
RETURNING scope_limit;

-- name: forget_consents_of_client!
DELETE FROM remembered_consents WHERE client_id = :client_id;

-- name: clients_without_row
SELECT DISTINCT client_id FROM grants
WHERE revoked_at IS NULL AND expires_at > :now
  AND NOT EXISTS (SELECT 1 FROM oauth_clients WHERE oauth_clients.client_id = grants.client_id);

-- name: adopt_client!
INSERT INTO oauth_clients
    (id, client_id, origin, client_name, metadata, secret_hash, label, scope_limit, blocked_at, fetched_at, fresh_until,
     consented_at, config_mac, created_at, updated_at)
VALUES
    (:id, :client_id, :origin, :client_name, :metadata, '', '', '', NULL, 0, 0, NULL, '', :now, :now)
ON CONFLICT (client_id) DO NOTHING;

-- name: renew_document!
UPDATE oauth_clients
SET client_name = :client_name, metadata = :metadata, fetched_at = :fetched_at, fresh_until = :fresh_until, updated_at = :fetched_at
WHERE client_id = :client_id AND origin = 'document';

-- name: use_assertion^
-- `others` is how many more of this client may be remembered beside this one.
INSERT INTO used_assertions (assertion_hash, client_hash, expires_at)
SELECT :assertion_hash, :client_hash, :expires_at
WHERE NOT EXISTS (
    SELECT 1 FROM used_assertions WHERE client_hash = :client_hash AND expires_at > :now LIMIT 1 OFFSET :others
)
ON CONFLICT (assertion_hash) DO NOTHING
RETURNING assertion_hash;

-- name: used_assertion^
SELECT expires_at FROM used_assertions WHERE assertion_hash = :assertion_hash;

-- name: next_assertion_to_expire$
SELECT min(expires_at) FROM used_assertions WHERE client_hash = :client_hash AND expires_at > :now;

-- name: drop_assertions
DELETE FROM used_assertions
WHERE assertion_hash IN (SELECT assertion_hash FROM used_assertions WHERE expires_at <= :before LIMIT :limit)
RETURNING assertion_hash;
