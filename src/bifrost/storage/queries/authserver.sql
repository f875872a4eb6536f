-- name: add_pending_flow^
INSERT INTO pending_flows
    (id, browser_hash, client_id, redirect_uri, state, code_challenge, scope, resource, dpop_jkt, identity_kind,
     identity_id, created_at, expires_at, finished_at)
SELECT CAST(:id AS TEXT), CAST(:browser_hash AS TEXT), CAST(:client_id AS TEXT), CAST(:redirect_uri AS TEXT),
       CAST(:state AS TEXT), CAST(:code_challenge AS TEXT), CAST(:scope AS TEXT), CAST(:resource AS TEXT),
       CAST(:dpop_jkt AS TEXT), NULL, NULL,
       CAST(:created_at AS BIGINT), CAST(:expires_at AS BIGINT), NULL
WHERE (SELECT count(*) FROM (SELECT 1 FROM pending_flows
                             WHERE client_id = CAST(:client_id AS TEXT) AND finished_at IS NULL
                               AND expires_at > CAST(:created_at AS BIGINT)
                             LIMIT CAST(:most AS BIGINT)) waiting) < CAST(:most AS BIGINT)
RETURNING id;

-- name: give_way!
DELETE FROM pending_flows WHERE id IN (
    SELECT id FROM pending_flows
    WHERE client_id = :client_id AND finished_at IS NULL AND expires_at > :now
    ORDER BY CASE WHEN identity_kind IS NULL THEN 0 ELSE 1 END, created_at, id LIMIT :count);

-- name: pending_flow^
SELECT id, browser_hash, client_id, redirect_uri, state, code_challenge, scope, resource, dpop_jkt, identity_kind,
       identity_id, created_at, expires_at, finished_at
FROM pending_flows WHERE id = :id;

-- name: choose_identity^
UPDATE pending_flows SET identity_kind = :identity_kind, identity_id = :identity_id
WHERE id = :id AND finished_at IS NULL AND expires_at > :now
RETURNING id;

-- name: finish_flow^
UPDATE pending_flows SET finished_at = :now
WHERE id = :id AND finished_at IS NULL AND expires_at > :now
RETURNING id;

-- name: finish_flow_as^
-- Only as the identity that is chosen now: it may have been changed, or have gone with its key, since it was read.
UPDATE pending_flows SET finished_at = :now
WHERE id = :id AND finished_at IS NULL AND expires_at > :now
  AND identity_kind = :identity_kind AND identity_id = :identity_id
RETURNING id;

-- name: add_grant!
INSERT INTO grants
    (id, client_id, identity_kind, identity_id, scope, resource, created_at, expires_at, revoked_at, revoked_reason)
VALUES
    (:id, :client_id, :identity_kind, :identity_id, :scope, :resource, :created_at, :expires_at, NULL, NULL);

-- name: grant^
SELECT id, client_id, identity_kind, identity_id, scope, resource, created_at, expires_at, revoked_at, revoked_reason
FROM grants WHERE id = :id;

-- name: issued_grants
SELECT id, client_id, identity_kind, identity_id, scope, resource, created_at, expires_at, revoked_at, revoked_reason
FROM grants
WHERE (CAST(:client_id AS TEXT) = '' OR client_id = :client_id) AND (CAST(:identity_id AS TEXT) = '' OR identity_id = :identity_id)
  AND (CAST(:now AS BIGINT) = 0 OR (revoked_at IS NULL AND expires_at > :now))
ORDER BY created_at DESC, id LIMIT :limit OFFSET :offset;

-- name: count_issued_grants$
SELECT count(*) FROM grants
WHERE (CAST(:client_id AS TEXT) = '' OR client_id = :client_id) AND (CAST(:identity_id AS TEXT) = '' OR identity_id = :identity_id)
  AND (CAST(:now AS BIGINT) = 0 OR (revoked_at IS NULL AND expires_at > :now));

-- name: extend_grant^
UPDATE grants SET expires_at = :expires_at WHERE id = :id AND revoked_at IS NULL RETURNING id;

-- name: revoke_grant^
UPDATE grants SET revoked_at = :now, revoked_reason = :reason WHERE id = :id AND revoked_at IS NULL RETURNING id;

-- name: add_authorization_code!
INSERT INTO authorization_codes
    (code_hash, grant_id, client_id, redirect_uri, code_challenge, scope, resource, dpop_jkt, created_at, expires_at,
     used_at, failed_attempts)
VALUES
    (:code_hash, :grant_id, :client_id, :redirect_uri, :code_challenge, :scope, :resource, :dpop_jkt, :created_at,
     :expires_at, NULL, 0);

-- name: authorization_code^
SELECT c.code_hash, c.grant_id, c.client_id, c.redirect_uri, c.code_challenge, c.scope, c.resource, c.dpop_jkt, c.created_at,
       c.expires_at, c.used_at, c.failed_attempts, g.identity_kind, g.identity_id
FROM authorization_codes c JOIN grants g ON g.id = c.grant_id
WHERE c.code_hash = :code_hash;

-- name: count_failed_attempt^
UPDATE authorization_codes SET failed_attempts = failed_attempts + 1
WHERE code_hash = :code_hash AND used_at IS NULL
RETURNING failed_attempts;

-- name: redeem_code^
UPDATE authorization_codes SET used_at = :now
WHERE code_hash = :code_hash AND used_at IS NULL AND expires_at > :now AND failed_attempts < :limit
RETURNING grant_id;

-- name: add_access_token!
INSERT INTO access_tokens (token_hash, grant_id, scope, jkt, created_at, expires_at)
VALUES (:token_hash, :grant_id, :scope, :jkt, :created_at, :expires_at);

-- name: access_token^
SELECT t.scope, t.jkt, t.created_at, t.expires_at, g.id AS grant_id, g.client_id, g.identity_kind, g.identity_id, g.resource,
       g.revoked_at
FROM access_tokens t JOIN grants g ON g.id = t.grant_id
WHERE t.token_hash = :token_hash;

-- name: end_access_token^
UPDATE access_tokens SET expires_at = :now WHERE token_hash = :token_hash AND expires_at > :now RETURNING grant_id;

-- name: add_refresh_token!
INSERT INTO refresh_tokens (token_hash, grant_id, jkt, created_at, expires_at, used_at)
VALUES (:token_hash, :grant_id, :jkt, :created_at, :expires_at, NULL);

-- name: refresh_token^
SELECT t.token_hash, t.jkt, t.created_at, t.expires_at, t.used_at, g.id AS grant_id, g.client_id, g.identity_kind, g.identity_id, g.scope,
       g.resource, g.revoked_at, g.expires_at AS grant_expires_at
FROM refresh_tokens t JOIN grants g ON g.id = t.grant_id
WHERE t.token_hash = :token_hash;

-- name: use_refresh_token^
UPDATE refresh_tokens
SET used_at = :now, successor_hash = :successor_hash, sealed_successors = :sealed_successors
WHERE token_hash = :token_hash AND used_at IS NULL AND expires_at > :now
RETURNING grant_id;

-- name: replay_refresh_token^
-- What is sent at once is no replay: no number of programs that share a token may end their grant.
UPDATE refresh_tokens
SET replays = replays + CASE WHEN used_at > :window_began THEN 0 ELSE 1 END, answered_again = answered_again + 1
WHERE token_hash = :token_hash AND used_at IS NOT NULL AND sealed_successors <> ''
  AND (used_at > :window_began
       OR (replays < :limit AND used_at > :cap_began AND NOT EXISTS (
           SELECT 1 FROM refresh_tokens successor
           WHERE successor.token_hash = refresh_tokens.successor_hash AND successor.used_at IS NOT NULL)))
RETURNING sealed_successors, answered_again;

-- name: count_presented_by_others$
UPDATE refresh_tokens SET presented_by_others = presented_by_others + 1 WHERE token_hash = :token_hash
RETURNING presented_by_others;

-- name: count_key_failure^
INSERT INTO key_guesses (bucket, failures, expires_at) VALUES (:bucket, 1, :until)
ON CONFLICT (bucket) DO UPDATE SET
    failures   = CASE WHEN key_guesses.expires_at <= :now THEN 1 ELSE key_guesses.failures + 1 END,
    expires_at = :until
WHERE key_guesses.expires_at <= :now OR key_guesses.failures < :limit
RETURNING failures;

-- name: key_guess_lock$
SELECT expires_at FROM key_guesses
WHERE bucket IN (:bucket, :other) AND failures >= :limit AND expires_at > :now LIMIT 1;

-- name: sweep_pending_flows
DELETE FROM pending_flows WHERE id IN (SELECT id FROM pending_flows WHERE expires_at <= :before LIMIT :limit)
RETURNING id;

-- name: sweep_access_tokens
DELETE FROM access_tokens WHERE token_hash IN (SELECT token_hash FROM access_tokens WHERE expires_at <= :before LIMIT :limit)
RETURNING token_hash;

-- name: sweep_refresh_tokens
DELETE FROM refresh_tokens WHERE token_hash IN (SELECT token_hash FROM refresh_tokens WHERE expires_at <= :before LIMIT :limit)
RETURNING token_hash;

-- name: sweep_grants
DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE expires_at <= :before LIMIT :limit)
RETURNING id;

-- name: sweep_key_guesses
DELETE FROM key_guesses WHERE bucket IN (SELECT bucket FROM key_guesses WHERE expires_at <= :before LIMIT :limit)
RETURNING bucket;
