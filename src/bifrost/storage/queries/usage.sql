-- name: take^
INSERT INTO key_usage (key_id, name, used, resets_at)
SELECT :key_id, :name, CAST(:amount AS BIGINT), CAST(:resets_at AS BIGINT) WHERE CAST(:amount AS BIGINT) <= CAST(:limit AS BIGINT)
ON CONFLICT (key_id, name) DO UPDATE SET
    used      = CASE WHEN key_usage.resets_at <= :now THEN excluded.used ELSE key_usage.used + excluded.used END,
    resets_at = CASE WHEN key_usage.resets_at <= :now THEN excluded.resets_at ELSE key_usage.resets_at END
WHERE key_usage.resets_at <= :now OR key_usage.used + excluded.used <= :limit
RETURNING used, resets_at;

-- name: window^
SELECT name, used, resets_at FROM key_usage WHERE key_id = :key_id AND name = :name AND resets_at > :now;

-- name: windows
SELECT name, used, resets_at FROM key_usage WHERE key_id = :key_id AND resets_at > :now ORDER BY name;

-- name: give_back!
UPDATE key_usage SET used = used - :amount
WHERE key_id = :key_id AND name = :name AND resets_at = :resets_at AND used >= :amount;

-- name: sweep!
DELETE FROM key_usage WHERE resets_at <= :before;
