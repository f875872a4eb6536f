-- name: add_letter!
INSERT INTO session_letters (id, session, kind, body, created_at, expires_at)
VALUES (:id, :session, :kind, :body, :created_at, :expires_at);

-- name: letters
SELECT id, session, kind, body, created_at, expires_at FROM session_letters
WHERE expires_at > :now ORDER BY created_at, id;

-- name: envelopes
SELECT id, session, kind, created_at FROM session_letters
WHERE created_at >= :since AND expires_at > :now ORDER BY created_at, id;

-- name: letter^
SELECT id, session, kind, body, created_at, expires_at FROM session_letters WHERE id = :id;

-- name: sweep!
DELETE FROM session_letters WHERE expires_at < :before;
