-- name: count_up$
INSERT INTO request_counters (bucket, counted, expires_at) VALUES (:bucket, :add, :expires_at)
ON CONFLICT (bucket) DO UPDATE SET counted = request_counters.counted + excluded.counted
RETURNING counted;

-- name: sweep_counters!
DELETE FROM request_counters WHERE expires_at <= :before;
