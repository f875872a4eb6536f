-- name: add_token^
INSERT INTO admin_tokens (id, name, token_hash, created_at) VALUES (:id, :name, :token_hash, :created_at)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: token_by_hash^
SELECT id, name, created_at FROM admin_tokens WHERE token_hash = :token_hash;

-- name: tokens
SELECT id, name, created_at FROM admin_tokens ORDER BY created_at, name;

-- name: remove_token^
DELETE FROM admin_tokens
WHERE id = (
    SELECT id FROM admin_tokens WHERE id = :wanted OR name = :wanted
    ORDER BY CASE WHEN id = :wanted THEN 0 ELSE 1 END LIMIT 1
)
RETURNING id, name, created_at;

-- name: lock_token$
UPDATE admin_tokens SET name = name WHERE id = :token_id RETURNING id;

-- name: add_session!
INSERT INTO admin_sessions (session_hash, token_id, configured_mac, created_at, seen_at, expires_at)
VALUES (:session_hash, :token_id, :configured_mac, :created_at, :seen_at, :expires_at);

-- name: session^
SELECT s.token_id, t.name AS token_name, s.configured_mac, s.created_at, s.seen_at, s.expires_at
FROM admin_sessions s LEFT JOIN admin_tokens t ON t.id = s.token_id
WHERE s.session_hash = :session_hash;

-- name: session_seen!
UPDATE admin_sessions SET seen_at = :now WHERE session_hash = :session_hash AND seen_at < :now;

-- name: end_session!
DELETE FROM admin_sessions WHERE session_hash = :session_hash;

-- name: first_link$
INSERT INTO setup_links (slot, link_hash, created_at, expires_at, is_first)
SELECT 'link', :link_hash, CAST(:now AS BIGINT), CAST(:expires_at AS BIGINT), TRUE
WHERE NOT EXISTS (SELECT 1 FROM admin_tokens)
ON CONFLICT (slot) DO UPDATE SET
    link_hash = excluded.link_hash, created_at = excluded.created_at, expires_at = excluded.expires_at,
    is_first = excluded.is_first
WHERE setup_links.expires_at <= :now
RETURNING slot;

-- name: new_link!
INSERT INTO setup_links (slot, link_hash, created_at, expires_at, is_first)
VALUES ('link', :link_hash, :now, :expires_at, FALSE)
ON CONFLICT (slot) DO UPDATE SET
    link_hash = excluded.link_hash, created_at = excluded.created_at, expires_at = excluded.expires_at,
    is_first = excluded.is_first;

-- name: end_first_link!
DELETE FROM setup_links WHERE is_first;

-- name: open_link$
SELECT slot FROM setup_links
WHERE link_hash = :link_hash AND expires_at > :now
  AND (NOT is_first OR NOT EXISTS (SELECT 1 FROM admin_tokens));

-- name: use_link$
-- The second condition is for a link that was printed while the first token was being made.
DELETE FROM setup_links
WHERE link_hash = :link_hash AND expires_at > :now
  AND (NOT is_first OR NOT EXISTS (SELECT 1 FROM admin_tokens))
RETURNING slot;

-- name: sweep_sessions!
DELETE FROM admin_sessions WHERE expires_at <= :before;

-- name: sweep_links!
DELETE FROM setup_links WHERE expires_at <= :before;
