-- name: registration$
SELECT sealed FROM upstream_registrations
WHERE upstream_id = :upstream_id AND issuer = :issuer AND redirect_uri = :redirect_uri;

-- name: keep_registration!
INSERT INTO upstream_registrations (upstream_id, issuer, redirect_uri, sealed, created_at)
VALUES (:upstream_id, :issuer, :redirect_uri, :sealed, :created_at)
ON CONFLICT (upstream_id, issuer, redirect_uri) DO UPDATE SET sealed = excluded.sealed, created_at = excluded.created_at;

-- name: registrations
SELECT issuer, redirect_uri, sealed FROM upstream_registrations WHERE upstream_id = :upstream_id ORDER BY created_at;

-- name: forget_registration!
DELETE FROM upstream_registrations
WHERE upstream_id = :upstream_id AND issuer = :issuer AND redirect_uri = :redirect_uri;

-- name: add_sign_in!
INSERT INTO upstream_sign_ins (state_hash, upstream_id, browser_hash, sealed, created_at, expires_at, used_at)
VALUES (:state_hash, :upstream_id, :browser_hash, :sealed, :created_at, :expires_at, NULL);

-- name: registration_doubtful$
SELECT 1 FROM upstream_sign_ins
WHERE upstream_id = :upstream_id AND browser_hash = :browser_hash AND used_at IS NULL AND expires_at > :now
  AND NOT EXISTS (
      SELECT 1 FROM upstream_registrations r WHERE r.upstream_id = :upstream_id AND r.created_at > :registered_before)
LIMIT 1;

-- name: claim_sign_in$
DELETE FROM upstream_sign_ins
WHERE state_hash = :state_hash AND browser_hash = :browser_hash AND used_at IS NULL AND expires_at > :now
RETURNING sealed;

-- name: hold_upstream$
UPDATE upstreams SET updated_at = updated_at WHERE id = :upstream_id RETURNING id;

-- name: hold_key$
UPDATE virtual_keys SET updated_at = updated_at
WHERE id = :owner_id AND is_active AND (expires_at IS NULL OR expires_at > :now)
RETURNING id;

-- name: hold_flow$
UPDATE pending_flows SET expires_at = expires_at
WHERE id = :owner_id AND finished_at IS NULL AND expires_at > :now
RETURNING id;

-- name: hold_set_up$
UPDATE upstream_set_ups SET expires_at = expires_at WHERE attempt = :owner_id RETURNING attempt;

-- name: keep_credential!
INSERT INTO upstream_credentials
    (id, upstream_id, owner_kind, owner_id, kind, header_names, target, sealed, state, lasting, reason, more_scope,
     version, lease_until, created_at, updated_at)
VALUES (:id, :upstream_id, :owner_kind, :owner_id, :kind, :header_names, :target, :sealed, :lasting, :lasting, :reason,
     '', 1, NULL, :now, :now)
ON CONFLICT (upstream_id, owner_kind, owner_id) DO UPDATE SET
    kind = excluded.kind, header_names = excluded.header_names, target = excluded.target, sealed = excluded.sealed,
    state = excluded.state, lasting = excluded.lasting, reason = excluded.reason, more_scope = '',
    version = upstream_credentials.version + 1, lease_until = NULL, updated_at = excluded.updated_at;

-- name: credential^
SELECT upstream_id, owner_kind, owner_id, kind, header_names, target, sealed, state, lasting, reason, more_scope, version
FROM upstream_credentials
WHERE upstream_id = :upstream_id AND owner_kind = :owner_kind AND owner_id = :owner_id;

-- name: credentials_of
SELECT upstream_id, owner_kind, owner_id, kind, header_names, target, sealed, state, lasting, reason, more_scope, version
FROM upstream_credentials
WHERE owner_kind = :owner_kind AND owner_id = :owner_id ORDER BY upstream_id;

-- name: lease_refresh$
UPDATE upstream_credentials SET lease_until = :until
WHERE upstream_id = :upstream_id AND owner_kind = :owner_kind AND owner_id = :owner_id AND version = :version
  AND state = 'active' AND (lease_until IS NULL OR lease_until <= :now)
RETURNING version;

-- name: refreshed$
UPDATE upstream_credentials SET sealed = :sealed, version = :version, lease_until = NULL, updated_at = :now
WHERE upstream_id = :upstream_id AND owner_kind = :owner_kind AND owner_id = :owner_id AND version = :version - 1
RETURNING version;

-- name: keep_lease$
UPDATE upstream_credentials SET lease_until = :until
WHERE upstream_id = :upstream_id AND owner_kind = :owner_kind AND owner_id = :owner_id AND version = :version
  AND state = 'active' AND lease_until = :held
RETURNING version;

-- name: release_refresh!
UPDATE upstream_credentials SET lease_until = :until
WHERE upstream_id = :upstream_id AND owner_kind = :owner_kind AND owner_id = :owner_id AND version = :version
  AND lease_until = :held;

-- name: needs_reauth!
UPDATE upstream_credentials SET
    state = 'needs_reauth', lasting = 'needs_reauth', reason = :reason, more_scope = :more_scope, lease_until = NULL, updated_at = :now
WHERE upstream_id = :upstream_id AND owner_kind = :owner_kind AND owner_id = :owner_id AND version = :version;

-- name: settle$
UPDATE upstream_credentials SET state = :state, updated_at = :now
WHERE upstream_id = :upstream_id AND owner_kind = :owner_kind AND owner_id = :owner_id AND version = :version
  AND state = :was
RETURNING version;

-- name: take_credentials
DELETE FROM upstream_credentials WHERE owner_kind = :owner_kind AND owner_id = :owner_id
RETURNING upstream_id, owner_kind, owner_id, kind, header_names, target, sealed, state, lasting, reason, more_scope, version;

-- name: add_connect_session!
INSERT INTO connect_sessions (id, identity_kind, identity_id, browser_hash, created_at, expires_at)
VALUES (:id, :identity_kind, :identity_id, NULL, :created_at, :expires_at);

-- name: connect_session^
SELECT id, identity_kind, identity_id, browser_hash, expires_at FROM connect_sessions WHERE id = :id;

-- name: prove_connect_session$
UPDATE connect_sessions SET browser_hash = :browser_hash
WHERE id = :id AND expires_at > :now AND (browser_hash IS NULL OR browser_hash = :browser_hash)
RETURNING id;

-- name: browser_gave_consent$
SELECT 1 FROM pending_flows
WHERE browser_hash = :browser_hash AND identity_kind = :identity_kind AND identity_id = :identity_id
  AND finished_at IS NOT NULL AND expires_at > :now;

-- name: sweep_sign_ins!
DELETE FROM upstream_sign_ins WHERE expires_at <= :before;

-- name: sweep_connect_sessions!
DELETE FROM connect_sessions WHERE expires_at <= :before;

-- name: sweep_flow_credentials!
DELETE FROM upstream_credentials
WHERE owner_kind = 'flow' AND NOT EXISTS (SELECT 1 FROM pending_flows f WHERE f.id = upstream_credentials.owner_id);
