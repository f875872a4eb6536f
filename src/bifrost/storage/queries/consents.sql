-- name: consent^
SELECT id, identity_kind, identity_id, client_id, scope, resources, redirect_hosts, keys_hash, created_at, updated_at
FROM remembered_consents
WHERE identity_kind = :identity_kind AND identity_id = :identity_id AND client_id = :client_id AND expires_at > :now;

-- name: remember_consent!
INSERT INTO remembered_consents
    (id, identity_kind, identity_id, client_id, scope, resources, redirect_hosts, keys_hash, created_at, updated_at,
     expires_at)
VALUES
    (:id, :identity_kind, :identity_id, :client_id, :scope, :resources, :redirect_hosts, :keys_hash, :now, :now,
     :expires_at)
ON CONFLICT (identity_kind, identity_id, client_id) DO UPDATE SET
    scope = excluded.scope, resources = excluded.resources, redirect_hosts = excluded.redirect_hosts,
    keys_hash = excluded.keys_hash, updated_at = excluded.updated_at, expires_at = excluded.expires_at;

-- name: know_browser!
INSERT INTO known_browsers (person_hash, identity_kind, identity_id, proof, expires_at)
VALUES (:person_hash, :identity_kind, :identity_id, :proof, :expires_at)
ON CONFLICT (person_hash, identity_kind, identity_id) DO UPDATE SET
    proof = excluded.proof, expires_at = excluded.expires_at;

-- name: consents_in_browser
SELECT c.id, c.identity_kind, c.identity_id, c.client_id, c.scope, c.resources, c.redirect_hosts, c.keys_hash,
       c.created_at, c.updated_at, b.proof
FROM known_browsers b
JOIN remembered_consents c ON c.identity_kind = b.identity_kind AND c.identity_id = b.identity_id
WHERE b.person_hash = :person_hash AND b.expires_at > :now AND c.client_id = :client_id AND c.expires_at > :now
ORDER BY c.updated_at DESC LIMIT 5;

-- name: consents
SELECT c.id, c.identity_kind, c.identity_id, c.client_id, c.scope, c.resources, c.redirect_hosts, c.keys_hash,
       c.created_at, c.updated_at, o.client_name, o.label
FROM remembered_consents c JOIN oauth_clients o ON o.client_id = c.client_id
WHERE c.expires_at > :now
ORDER BY c.updated_at DESC, c.id LIMIT :limit OFFSET :offset;

-- name: consent_count$
SELECT count(*) FROM remembered_consents c JOIN oauth_clients o ON o.client_id = c.client_id WHERE c.expires_at > :now;

-- name: forget_consent^
DELETE FROM remembered_consents WHERE id = :id RETURNING id;

-- name: forget_consent_of!
DELETE FROM remembered_consents
WHERE identity_kind = :identity_kind AND identity_id = :identity_id AND client_id = :client_id;

-- name: sweep_consents!
DELETE FROM remembered_consents WHERE expires_at <= :before;

-- name: sweep_browsers!
DELETE FROM known_browsers WHERE expires_at <= :before;
