-- name: signing_keys
SELECT kid, alg, state, public_jwk, sealed_private, created_at, activated_at, ends_at
FROM signing_keys ORDER BY created_at, kid;

-- name: add_signing_key!
INSERT INTO signing_keys (kid, alg, state, public_jwk, sealed_private, created_at, activated_at, ends_at)
VALUES (:kid, :alg, :state, :public_jwk, :sealed_private, :created_at, :activated_at, :ends_at)
ON CONFLICT DO NOTHING;

-- name: retire_signing_key^
UPDATE signing_keys
SET state = 'retiring',
    ends_at = (SELECT MAX(lasting.ends) FROM (SELECT CAST(:earliest AS BIGINT) AS ends
                    UNION ALL SELECT MAX(expires_at) + CAST(:after_tokens AS BIGINT) FROM access_tokens) lasting)
WHERE kid = :kid AND state = 'active' RETURNING kid;

-- name: retire_signing_keys_of!
UPDATE signing_keys
SET state = 'retiring',
    ends_at = (SELECT MAX(lasting.ends) FROM (SELECT CAST(:earliest AS BIGINT) AS ends
                    UNION ALL SELECT MAX(expires_at) + CAST(:after_tokens AS BIGINT) FROM access_tokens) lasting)
WHERE alg = :alg AND state = 'active';

-- name: drop_next_signing_key!
DELETE FROM signing_keys WHERE alg = :alg AND state = 'next';

-- name: drop_all_signing_keys!
DELETE FROM signing_keys;

-- name: activate_signing_key!
UPDATE signing_keys SET state = 'active', activated_at = :now WHERE alg = :alg AND state = 'next';

-- name: drop_signing_keys!
DELETE FROM signing_keys WHERE state = 'retiring' AND ends_at <= :now;
