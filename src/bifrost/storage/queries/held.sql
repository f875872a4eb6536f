-- name: held
SELECT c.id, c.upstream_id, u.name AS upstream_name, c.owner_kind, c.owner_id, COALESCE(k.name, '') AS owner_name, c.kind,
       c.header_names, c.target, c.state, c.lasting, c.reason, c.version, c.created_at, c.updated_at
FROM upstream_credentials c
JOIN upstreams u ON u.id = c.upstream_id
LEFT JOIN virtual_keys k ON c.owner_kind = 'vk' AND k.id = c.owner_id
WHERE c.owner_kind IN ('vk', 'user', 'session')
  AND (:state = '' OR c.state = :state)
  AND (:upstream = '' OR u.id = :upstream OR u.name = :upstream)
  AND (:owner_kind = '' OR c.owner_kind = :owner_kind)
  AND (:owner_id = '' OR c.owner_id = :owner_id)
  AND (lower(u.name) LIKE :pattern ESCAPE '\' OR lower(c.owner_id) LIKE :pattern ESCAPE '\'
       OR lower(COALESCE(k.name, '')) LIKE :pattern ESCAPE '\')
ORDER BY c.created_at, c.id
LIMIT :limit OFFSET :offset;

-- name: count_held$
SELECT count(*)
FROM upstream_credentials c
JOIN upstreams u ON u.id = c.upstream_id
LEFT JOIN virtual_keys k ON c.owner_kind = 'vk' AND k.id = c.owner_id
WHERE c.owner_kind IN ('vk', 'user', 'session')
  AND (:state = '' OR c.state = :state)
  AND (:upstream = '' OR u.id = :upstream OR u.name = :upstream)
  AND (:owner_kind = '' OR c.owner_kind = :owner_kind)
  AND (:owner_id = '' OR c.owner_id = :owner_id)
  AND (lower(u.name) LIKE :pattern ESCAPE '\' OR lower(c.owner_id) LIKE :pattern ESCAPE '\'
       OR lower(COALESCE(k.name, '')) LIKE :pattern ESCAPE '\');

-- name: held_by_id^
SELECT c.id, c.upstream_id, u.name AS upstream_name, c.owner_kind, c.owner_id, COALESCE(k.name, '') AS owner_name, c.kind,
       c.header_names, c.target, c.state, c.lasting, c.reason, c.version, c.created_at, c.updated_at
FROM upstream_credentials c
JOIN upstreams u ON u.id = c.upstream_id
LEFT JOIN virtual_keys k ON c.owner_kind = 'vk' AND k.id = c.owner_id
WHERE c.id = :id AND c.owner_kind IN ('vk', 'user', 'session');

-- name: settle_held$
UPDATE upstream_credentials SET state = :state, updated_at = :now
WHERE id = :id AND version = :version AND state = :was
RETURNING version;

-- name: take_ended
DELETE FROM upstream_credentials
WHERE (owner_kind = 'session' AND owner_id LIKE 'ses!_%' ESCAPE '!' AND NOT EXISTS (
    SELECT 1 FROM grants g
    WHERE g.identity_kind = 'session' AND g.identity_id = upstream_credentials.owner_id
      AND g.revoked_at IS NULL AND g.expires_at > :now))
  OR (owner_kind = 'flow' AND NOT EXISTS (
    SELECT 1 FROM pending_flows f
    WHERE f.id = upstream_credentials.owner_id AND f.finished_at IS NULL AND f.expires_at > :now))
  OR (owner_kind = 'setup' AND NOT EXISTS (
    SELECT 1 FROM upstream_set_ups s WHERE s.attempt = upstream_credentials.owner_id AND s.expires_at > :now))
RETURNING upstream_id, owner_kind, owner_id, kind, header_names, target, sealed, state, lasting, reason, more_scope, version;

-- name: take
DELETE FROM upstream_credentials
WHERE (:upstream_id = '' OR upstream_id = :upstream_id)
  AND (:owner_id = '' OR (owner_kind = :owner_kind AND owner_id = :owner_id))
RETURNING upstream_id, owner_kind, owner_id, kind, header_names, target, sealed, state, lasting, reason, more_scope, version;
