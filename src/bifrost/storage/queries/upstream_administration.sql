-- name: begin_set_up!
INSERT INTO upstream_set_ups
    (oauth_config_id, upstream_id, attempt, browser_hash, state, reason, created_at, expires_at)
VALUES (:oauth_config_id, :upstream_id, :attempt, NULL, 'pending', '', :created_at, :expires_at)
ON CONFLICT (upstream_id) DO UPDATE SET
    oauth_config_id = excluded.oauth_config_id, attempt = excluded.attempt, browser_hash = NULL, state = 'pending',
    reason = '', created_at = excluded.created_at, expires_at = excluded.expires_at;

-- name: set_up^
SELECT oauth_config_id, upstream_id, attempt, browser_hash, state, reason, created_at, expires_at
FROM upstream_set_ups WHERE oauth_config_id = :oauth_config_id;

-- name: bind_set_up$
UPDATE upstream_set_ups SET browser_hash = :browser_hash
WHERE attempt = :attempt AND expires_at > :now
RETURNING attempt;

-- name: end_set_up$
UPDATE upstream_set_ups SET state = :state, reason = :reason, expires_at = :expires_at
WHERE attempt = :attempt AND state <> 'completed'
RETURNING attempt;

-- name: complete_set_up$
UPDATE upstream_set_ups SET state = 'completed'
WHERE attempt = :attempt AND state = 'authorized' AND expires_at > :now
RETURNING upstream_id;

-- name: go_live$
UPDATE upstreams SET pending = FALSE, revision = revision + 1 WHERE id = :id AND connection_string = :connection_string RETURNING id;

-- name: drop_set_up!
DELETE FROM upstream_set_ups WHERE upstream_id = :upstream_id;

-- name: drop_pending_upstream$
DELETE FROM upstreams WHERE id = :id AND pending RETURNING id;

-- name: forget_credential!
DELETE FROM upstream_credentials
WHERE upstream_id = :upstream_id AND owner_kind = :owner_kind AND owner_id = :owner_id;

-- name: known_tools
SELECT name, definition, hash, discovered_at, changed_at, gone_at FROM upstream_tools
WHERE upstream_id = :upstream_id ORDER BY position, name;

-- name: tools_seen$
UPDATE upstreams SET tools_seen_at = :now, tools_hash = :hash WHERE id = :upstream_id AND connection_string = :connection_string
RETURNING id;

-- name: keep_tool!
INSERT INTO upstream_tools (upstream_id, name, position, definition, hash, discovered_at, changed_at, gone_at)
VALUES (:upstream_id, :name, :position, :definition, :hash, :now, :now, NULL)
ON CONFLICT (upstream_id, name) DO UPDATE SET
    position = excluded.position, definition = excluded.definition, gone_at = NULL, hash = excluded.hash,
    changed_at = CASE WHEN upstream_tools.hash = excluded.hash AND upstream_tools.gone_at IS NULL
        THEN upstream_tools.changed_at ELSE excluded.changed_at END;

-- name: tool_gone!
UPDATE upstream_tools SET gone_at = :now WHERE upstream_id = :upstream_id AND name = :name AND gone_at IS NULL;

-- name: forget_gone_tools!
DELETE FROM upstream_tools WHERE gone_at IS NOT NULL AND gone_at <= :before;

-- name: claim_check$
UPDATE upstreams SET check_due_at = :until WHERE id = :id AND check_due_at <= :now AND NOT disabled AND NOT pending
RETURNING id;

-- name: check_done!
UPDATE upstreams SET check_due_at = :due WHERE id = :id AND check_due_at = :until;

-- name: sweep_pending!
DELETE FROM upstreams WHERE pending AND NOT EXISTS
    (SELECT 1 FROM upstream_set_ups s WHERE s.upstream_id = upstreams.id AND s.expires_at > :before);

-- name: sweep_set_ups!
DELETE FROM upstream_set_ups WHERE expires_at <= :before;

-- name: sweep_set_up_credentials!
DELETE FROM upstream_credentials WHERE owner_kind = 'setup'
  AND NOT EXISTS (SELECT 1 FROM upstream_set_ups s WHERE s.attempt = upstream_credentials.owner_id);
