-- name: signing_keys
SELECT kid, alg, state, public_jwk, sealed_private, created_at, activated_at, ends_at
FROM signing_keys ORDER BY created_at, kid;

-- name: add_signing_key!
INSERT INTO signing_keys (kid, alg, state, public_jwk, sealed_private, created_at, activated_at, ends_at)
VALUES (:kid, :alg, :state, :public_jwk, :sealed_private, :created_at, :activated_at, :ends_at)
ON CONFLICT DO NOTHING;

-- name: retire_signing_key^
UPDATE signing_keys SET state = 'retiring', ends_at = :ends_at WHERE kid = :kid AND state = 'active' RETURNING kid;

-- name: activate_signing_key!
UPDATE signing_keys SET state = 'active', activated_at = :now WHERE alg = :alg AND state = 'next';

-- name: drop_signing_keys!
DELETE FROM signing_keys WHERE state = 'retiring' AND ends_at <= :now;
