-- name: add_pushed_request!
INSERT INTO pushed_requests (name_hash, client_id, query, created_at, expires_at)
VALUES (:name_hash, :client_id, :query, :created_at, :expires_at);

-- name: take_pushed_request^
DELETE FROM pushed_requests WHERE name_hash = :name_hash AND client_id = :client_id AND expires_at > :now
RETURNING query;

-- name: drop_pushed_requests
DELETE FROM pushed_requests
WHERE name_hash IN (SELECT name_hash FROM pushed_requests WHERE expires_at <= :before LIMIT :limit)
RETURNING name_hash;
